import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { NIGHTLY } from '../nightly.js';
import { type Locmoe, locmoe, newestRun, startTraining, temporaryFolder, UNHURRIED } from './support.js';

const LONG = ['train.steps=100000'];
const ONE = { nodes: 1, workersPerNode: 1, env: UNHURRIED };

async function expectEnd(run: Locmoe, expected: number) {
  const end = await run.finished;
  expect(end.code, end.stdout + end.stderr).toBe(expected);
  await run.expectNothingLeft();
  return end;
}

const recordIn = (directory: string, name: string) =>
  JSON.parse(readFileSync(path.join(directory, name), 'utf8'));

it.each(NIGHTLY ? [0, 1200] : [0])(
  'Ctrl-C %i ms after the start of the workers still ends in order, with a checkpoint',
  async (delayMs) => {
    const folder = temporaryFolder();
    const run = startTraining({ ...ONE, folder, nodes: NIGHTLY ? 2 : 1, sets: LONG });
    await run.until(/starting the workers/);
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    run.interrupt();
    const { stdout } = await expectEnd(run, 130);
    expect(stdout).toMatch(/checkpoint at step 1:/);
    expect(stdout).toMatch(/: the run was stopped by SIGINT at step 1 of 100000$/m);
    expect(recordIn(newestRun(folder), 'run.json')).toMatchObject({ stopped: 'SIGINT' });
  },
);

it('Ctrl-C twice ends at once, in one line that says so', async () => {
  const run = startTraining({ ...ONE, folder: temporaryFolder(), sets: LONG });
  await run.until(/starting the workers/);
  run.interrupt();
  await run.until(/SIGINT: finishing/);
  run.interrupt();
  const { stderr } = await expectEnd(run, 3);
  expect(stderr).toMatch(/^locmoe: run failed: SIGINT twice: ended without a final checkpoint$/m);
});

it('a run that locmoe stop ends says so everywhere', async () => {
  const folder = temporaryFolder();
  const runs = ['--runs-dir', path.join(folder, 'runs')];
  const run = startTraining({ ...ONE, folder, sets: LONG });
  await run.until(/step +\d+\/100000/);
  expect((await locmoe('stop', ...runs)).stdout).toMatch(/^asked the coordinator/);
  const { stdout } = await expectEnd(run, 130);
  const [, end] = /^stopped in .*: the run (was stopped by .* at step \d+ of 100000)$/m.exec(stdout) ?? [];
  expect(end, stdout).toContain('locmoe stop');
  expect(stdout).toMatch(/^not validated at the stop: \S+cli\.js eval --checkpoint \S+$/m);
  expect(stdout).toMatch(/^next\n {2}more steps +\S+cli\.js train --resume \S+$/m);
  const directory = newestRun(folder);
  expect(recordIn(directory, 'run.json')).toMatchObject({ stopped: 'locmoe stop' });
  expect(recordIn(directory, 'summary.json')).toMatchObject({ end });
  const status = await locmoe('status', ...runs);
  expect(status.code, status.stderr).toBe(0);
  expect(status.stdout).toMatch(/: stopped by locmoe stop\n/);
  expect(status.stdout).toMatch(/^ {2}resume: \S+cli\.js train --resume \S+/m);
});

it.each(NIGHTLY ? (['SIGINT', 'SIGTERM'] as const) : (['SIGTERM'] as const))(
  'a preparation of data that %s ends leaves nothing of it behind',
  async (signal) => {
    const folder = temporaryFolder();
    const dataDir = path.join(folder, 'data');
    const run = startTraining({ ...ONE, folder, dataDir });
    await run.until(/data: preparing/);
    await expect.poll(() => readdirSync(dataDir), { interval: 1 }).toHaveLength(1);
    const [unfinished] = readdirSync(dataDir);
    expect(unfinished).toMatch(/^[0-9a-f]{16}\.tmp-/);
    // A container that shares the volume may have a process with the same id.
    const others = unfinished.replace(/[0-9a-f-]{36}$/, randomUUID());
    mkdirSync(path.join(dataDir, others));
    run.child.kill(signal);
    const { stderr } = await expectEnd(run, 130);
    expect(stderr).toBe(`locmoe: ${signal}: ended while the data were prepared\n`);
    expect(readdirSync(dataDir)).toEqual([others]);
  },
);

it('a run goes on when nobody reads its output any more', async () => {
  const run = startTraining({ ...ONE, folder: temporaryFolder(), sets: ['train.steps=3'] });
  await run.until(/starting the workers/);
  run.child.stdout!.destroy();
  await expectEnd(run, 0);
});

it('a run that cannot be recorded any more ends with one line that names the file', async () => {
  const folder = temporaryFolder();
  const run = startTraining({ ...ONE, folder, sets: LONG });
  await run.until(/step +\d+\/100000/);
  const directory = newestRun(folder);
  // The run may write while its folder is removed, but not while it is renamed.
  renameSync(directory, path.join(folder, 'gone'));
  const { stderr } = await expectEnd(run, 3);
  // A probe may be the first to be written.
  const file = `${directory}/(metrics\\.ndjson|probe/\\S+)`;
  expect(stderr).toMatch(new RegExp(`^locmoe: run failed: .*ENOENT.*${file}`, 'm'));
  expect(stderr).not.toMatch(/\n\s+at /);
});
