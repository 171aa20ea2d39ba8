import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { NO_SMALL_DISK, smallDisk } from '../../packages/logs/test/small-disk.js';
import {
  type Locmoe,
  locmoe,
  lossCurve,
  newestRun,
  startTraining,
  temporaryFolder,
  UNHURRIED,
} from './support.js';

/** Trains three steps; the first save finds the disk full. */
async function trainOnFullDisk(checkpointEvery: number) {
  const folder = temporaryFolder();
  const sets = ['train.steps=3', `train.checkpointEvery=${checkpointEvery}`];
  const env = { LOCMOE_FAIL: 'checkpoint.shard:full:generation=1' };
  const run = startTraining({ folder, nodes: 1, workersPerNode: 1, sets, env });
  const end = await run.finished;
  await run.expectNothingLeft();
  return { ...end, checkpoints: readdirSync(path.join(newestRun(folder), 'checkpoints')).sort() };
}

/** Trains on a disk, fills it, and waits until the run reports it. */
async function trainUntilFull(disk: string) {
  const sets = ['steps=100000', 'checkpointEvery=100000', 'validateEvery=100000', 'probeRoutes=true'].map(
    (each) => `train.${each}`,
  );
  const more = ['--linger', '0'];
  const run = startTraining({ folder: disk, nodes: 1, workersPerNode: 1, sets, more, env: UNHURRIED });
  await run.until(/step +\d+\/100000/);
  const filler = path.join(disk, 'filler');
  expect(() => writeFileSync(filler, Buffer.alloc(32 << 20))).toThrow(/ENOSPC/);
  await run.until(/warning: cannot write /);
  return { run, filler };
}

/** Expects every view of a run to report that its disk is full, and how far the run is. */
async function expectTold(run: Locmoe, directory: string): Promise<void> {
  const { address, headers } = await run.http();
  const ask = async (url: string) => (await fetch(`http://${address}${url}`, { headers })).text();
  const recorded = Math.max(...lossCurve(directory).keys());
  const detail = async () => JSON.parse(await ask(`/api/runs/${path.basename(directory)}`));
  await expect.poll(async () => (await detail()).step, { timeout: 60_000 }).toBeGreaterThan(recorded);
  expect(Date.now() - (await detail()).notRecordingSince).toBeLessThan(240_000);
  expect(await ask('/metrics')).toMatch(/^locmoe_records_lost_total\{run="[^"]+"\} [1-9]/m);
  const { stdout } = await locmoe('status', '--run', directory);
  expect(stdout).toMatch(
    /^ {2}not recording since \S+: the disk is full, \d+ records? lost; free some space$/m,
  );
}

it('a full disk costs a checkpoint on the way, not the run', async () => {
  const { code, stdout, stderr, checkpoints } = await trainOnFullDisk(1);
  expect(code, stderr).toBe(0);
  expect(stdout).toMatch(/warning: no checkpoint of step 1: .*ENOSPC.*free some space; the run goes on/);
  expect(checkpoints).toEqual(['latest', 'step-000002', 'step-000003']);
});

it('a full disk fails a run that cannot save its end', async () => {
  const { code, stderr, checkpoints } = await trainOnFullDisk(100);
  expect(code, stderr).toBe(3);
  expect(stderr).toMatch(/run failed: .*checkpoint write.*ENOSPC.*free some space/);
  expect(checkpoints).toEqual([]);
});

it('a disk that is really full costs a run what it would have recorded, and each that records says so once', async (context) => {
  const disk = smallDisk(16 << 20);
  if (disk === null) return context.skip(NO_SMALL_DISK);
  const { run, filler } = await trainUntilFull(disk);
  await run.until(/warning: no further timelines /);
  await expectTold(run, newestRun(disk));
  rmSync(filler);
  run.interrupt();
  const { code, stdout, stderr } = await run.finished;
  expect(code, stdout + stderr).toBe(130);
  const directory = newestRun(disk);
  // The coordinator has warned once, and so has the agent.
  expect(stdout.match(/warning: .*/g)?.sort()).toEqual([
    expect.stringMatching(
      new RegExp(`^warning: cannot write ${directory}/(metrics|logs/.*)\\.ndjson: ENOSPC.*the run goes on`),
    ),
    expect.stringMatching(/^warning: no further timelines of steps: ENOSPC/),
    expect.stringMatching(/^warning: the recording of routes ends: no space is left for \S+\/probe$/),
  ]);
  const [, lastStep] = /checkpoint at step (\d+)/.exec(stdout)!;
  // Every recorded line is complete.
  expect([...lossCurve(directory).keys()].at(-1)).toBe(Number(lastStep));
  expect(JSON.parse(readFileSync(path.join(directory, 'run.json'), 'utf8')).state).toBe('finished');
  await run.expectNothingLeft();
});

it('a run that ends on a full disk is recorded as one that failed', async (context) => {
  const disk = smallDisk(16 << 20);
  if (disk === null) return context.skip(NO_SMALL_DISK);
  const { run } = await trainUntilFull(disk);
  run.interrupt();
  const { code, stdout, stderr } = await run.finished;
  expect(code, stdout + stderr).toBe(3);
  const directory = newestRun(disk);
  expect(JSON.parse(readFileSync(path.join(directory, 'run.json'), 'utf8')).state).toBe('failed');
  const files = readdirSync(directory, { recursive: true, encoding: 'utf8' });
  expect(files.filter((file) => file.endsWith('.tmp'))).toEqual([]);
  await run.expectNothingLeft();
});
