import path from 'node:path';
import { expect, it } from 'vitest';
import { readChaosRecords } from '../../src/chaos/chaos-record.js';
import { type Locmoe, locmoe, newestRun, startTraining, temporaryFolder, UNHURRIED } from './support.js';

const SETS = ['train.steps=100000', 'train.checkpointEvery=5'];

async function trainingRun(folder: string, ...more: readonly string[]): Promise<Locmoe> {
  const run = startTraining({ folder, nodes: 1, workersPerNode: 1, sets: SETS, more, env: UNHURRIED });
  await run.until(/step +\d+\/100000/);
  return run;
}

const chaos = (folder: string, ...args: string[]) =>
  locmoe('chaos', '--runs-dir', path.join(folder, 'runs'), ...args);

it('injects what a run takes, the same faults for the same seed, and leaves the run as it was', async () => {
  const folder = temporaryFolder();
  const run = await trainingRun(folder, '--allow-faults');
  const seeded = ['--seed', '5', '--faults', 'disk-full', '--every', '0.3s', '--for', '1.5s'];
  const first = await chaos(folder, ...seeded);
  expect(first.code, first.stdout + first.stderr).toBe(0);
  expect(first.stdout).toMatch(
    /^\d+ faults?: .*\n0 recoveries: 0s lost.*\nchecked: .*\nno invariant is broken\n$/m,
  );
  const runFolder = newestRun(folder);
  const faults = readChaosRecords(runFolder);
  for (const { detail } of faults) expect(first.stdout).toContain(detail);
  await chaos(folder, ...seeded);
  const again = readChaosRecords(runFolder).slice(faults.length);
  const common = Math.min(faults.length, again.length);
  expect(common).toBeGreaterThan(1);
  const untimed = faults.map((fault) => ({ ...fault, time: expect.any(Number) }));
  expect(again.slice(0, common)).toEqual(untimed.slice(0, common));

  await run.until(/no checkpoint of step \d+: .*ENOSPC/);
  // After a successful save no fault remains that could hit the last one.
  const numSaved = () => run.output.match(/checkpoint at step/g)?.length ?? 0;
  const before = numSaved();
  await expect.poll(numSaved, { timeout: 60_000 }).toBeGreaterThan(before);
  run.interrupt();
  expect((await run.finished).code).toBe(130);
  await run.expectNothingLeft();
});

it('touches only runs of its own that take the fault', async () => {
  const folder = temporaryFolder();
  const run = await trainingRun(folder);
  const refusals = [
    [['--faults', 'partition'], /cannot take partition: start it with --allow-faults/],
    [['--faults', 'coordinator-kill'], /cannot take coordinator-kill: it ends with its coordinator/],
    [['--faults', 'worker-kil'], /no fault "worker-kil"; there are worker-kill, /],
    [['--every', 'soon'], /expected a duration such as 20s/],
  ] as const;
  for (const [args, words] of refusals) {
    const { code, stderr } = await chaos(folder, ...args);
    expect(stderr).toMatch(words);
    expect(code).toBe(2);
  }
  // The run ends with its worker: chaos notices the kill, and nothing of the run is left.
  const { code, stdout } = await chaos(folder, '--every', '1s');
  expect(stdout).toMatch(/^[\d:.]+ worker-kill: SIGKILL of rank \d \(pid \d+\)\n1 fault: 1 worker-kill\n/m);
  expect(stdout).toContain('I8 nothing is left behind');
  expect(code, stdout).toBe(0);
  expect((await run.finished).code).toBe(3);
  expect((await chaos(folder)).stderr).toMatch(/is not going on|no process of this user/);
});
