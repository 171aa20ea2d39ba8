import { describe, expect, it } from 'vitest';
import { type Finished, type Locmoe, locmoe, newestRun, startTraining, temporaryFolder } from './support.js';

const FOREVER = ['train.steps=100000'];
/** A step is a few ms here, so this is plenty for one that has to end by itself. */
const TIMEOUT_S = 3;

async function startedRun(
  nodes: number,
  workersPerNode: number,
  sets: readonly string[] = [],
): Promise<Locmoe> {
  const run = startTraining({
    folder: temporaryFolder(),
    nodes,
    workersPerNode,
    sets: [...FOREVER, ...sets],
  });
  await run.until(/step +\d+\/100000/);
  return run;
}

/** Waits for the end, and measures how long it took from now. */
async function endOf(run: Locmoe): Promise<Finished & { readonly tookS: number }> {
  const from = performance.now();
  const finished = await run.finished;
  return { ...finished, tookS: (performance.now() - from) / 1000 };
}

/** The one line that says why. */
function verdict({ stderr }: Finished): string {
  const lines = stderr.split('\n').filter((line) => line.startsWith('locmoe: '));
  expect(lines, stderr).toHaveLength(1);
  return lines[0];
}

describe('a worker that', () => {
  it('is killed ends the run within seconds, named with its signal, step and operation', async () => {
    const run = await startedRun(2, 2);
    const victim = run.pidsOf('worker')[1];
    process.kill(victim, 'SIGKILL');
    const end = await endOf(run);
    expect(end.code).toBe(3);
    expect(end.tookS).toBeLessThan(6);
    expect(verdict(end)).toMatch(
      new RegExp(
        `run failed: rank \\d, node \\d, step \\d+, .*worker \\(pid ${victim}\\) was killed by SIGKILL`,
      ),
    );
    await run.expectNothingLeft();
  }, 60_000);

  it('is stopped by SIGSTOP is named as the one that hangs, with what the others wait for', async () => {
    const run = await startedRun(2, 2, [`cluster.collectiveTimeoutS=${TIMEOUT_S}`]);
    const victim = run.pidsOf('worker')[2];
    process.kill(victim, 'SIGSTOP');
    const end = await endOf(run);
    expect(end.code).toBe(3);
    expect(end.tookS).toBeLessThan(TIMEOUT_S + 8);
    const line = verdict(end);
    expect(line).toMatch(/run failed: rank \d, node \d, step \d+, .*waited 3\.\d s for rank/);
    expect(line).toMatch(
      new RegExp(`rank \\d \\(node \\d, pid ${victim}\\) is stopped \\(SIGSTOP\\), last seen in step \\d+`),
    );
    await run.expectNothingLeft();
  }, 60_000);

  it('computes what is not finite says so, with the step and the remedy', async () => {
    const run = startTraining({
      folder: temporaryFolder(),
      nodes: 1,
      workersPerNode: 2,
      sets: [...FOREVER, 'train.learningRate=1e30', 'train.clipNorm=1e30'],
    });
    const end = await endOf(run);
    expect(end.code).toBe(3);
    expect(verdict(end)).toMatch(/step \d+.*gradient norm is (NaN|Infinity).*train\.learningRate/);
    await run.expectNothingLeft();
  }, 60_000);
});

describe('a node agent that', () => {
  it('is killed ends the run, named, and takes its workers with it', async () => {
    const run = await startedRun(2, 2);
    const victim = run.pidsOf('agent')[0];
    process.kill(victim, 'SIGKILL');
    const end = await endOf(run);
    expect(end.code).toBe(3);
    expect(end.tookS).toBeLessThan(12);
    expect(verdict(end)).toMatch(new RegExp(`node \\d.*\\(pid ${victim}\\) was lost`));
    await run.expectNothingLeft();
  }, 60_000);
});

describe('a coordinator that', () => {
  it('is killed leaves no process and no shared memory', async () => {
    const run = await startedRun(2, 2);
    run.child.kill('SIGKILL');
    await run.finished;
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    await run.expectNothingLeft();
  }, 60_000);
});

describe('a failed run', () => {
  it('keeps the last words of every process in its logs', async () => {
    const folder = temporaryFolder();
    const run = startTraining({
      folder,
      nodes: 2,
      workersPerNode: 1,
      sets: [...FOREVER, 'train.checkpointEvery=5'],
    });
    await run.until(/checkpoint at step/);
    process.kill(run.pidsOf('worker')[0], 'SIGKILL');
    const { stderr } = await run.finished;
    expect(stderr).toMatch(/resume: locmoe train --resume .*from step-0+\d+/);
    const { stdout } = await locmoe('logs', '--json', '--level', 'info', '--run', newestRun(folder));
    const records = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const from = (node: number | undefined, rank: number | undefined) =>
      records.filter((record) => record.node === node && record.rank === rank);
    expect(from(0, 0).map(({ msg }) => msg)).toContainEqual(expect.stringMatching(/^training from step 1/));
    expect(from(1, 1).map(({ msg }) => msg)).toContainEqual(expect.stringMatching(/^training from step 1/));
    expect(records.some(({ level, msg }) => level === 'error' && /SIGKILL/.test(msg))).toBe(true);
    for (const record of records) expect(record).toMatchObject({ run: expect.any(String), generation: 1 });
  }, 60_000);
});
