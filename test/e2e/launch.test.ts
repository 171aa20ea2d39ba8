import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { skipLoudly } from '../debian-tool.js';
import { CLI, DATA_DIR, Locmoe, lossCurve, MICRO, newestRun, temporaryFolder, UNHURRIED } from './support.js';

/** `locmoe launch` for nodes of one worker on this machine. */
function launchArguments(folder: string, ...sets: readonly string[]): string[] {
  writeFileSync(path.join(folder, 'micro.yaml'), MICRO);
  return [
    ...['launch', '--config', path.join(folder, 'micro.yaml'), '--workers-per-node', '1', '--no-samples'],
    ...['--listen', '127.0.0.1:0', '--runs-dir', path.join(folder, 'runs'), '--data-dir', DATA_DIR],
    ...sets.flatMap((set) => ['--set', set]),
  ];
}

/** Starts what a launcher without variables of its own would. */
function startTasks(size: number, args: readonly string[]): Locmoe[] {
  return Array.from({ length: size }, (_, rank) => startTask(rank, size, args));
}

function startTask(rank: number, size: number, args: readonly string[]): Locmoe {
  const launcher = { LOCMOE_RANK: String(rank), LOCMOE_SIZE: String(size), LOCMOE_JOB: 'test' };
  return new Locmoe(args, { ...UNHURRIED, ...launcher });
}

describe('tasks', () => {
  it('end with the exit code of the first when it is refused', async () => {
    const tasks = startTasks(3, launchArguments(temporaryFolder(), 'train.stpes=3'));
    const ends = await Promise.all(tasks.map(({ finished }) => finished));
    expect(ends.map(({ code }) => code)).toEqual([2, 2, 2]);
    expect(ends[0]!.stderr).toMatch(/^locmoe: --set train\.stpes=3: .*; did you mean steps\?$/m);
  });

  it('end with that of any other, too', async () => {
    const folder = temporaryFolder();
    const args = launchArguments(folder, 'train.steps=100000');
    const [first, second] = startTasks(2, args);
    const third = new Locmoe([...args, '--nodes', '3'], {
      LOCMOE_RANK: '1',
      LOCMOE_SIZE: '2',
      LOCMOE_JOB: 'other',
    });
    expect(await third.finished).toMatchObject({
      code: 2,
      stderr: 'locmoe: --nodes 3: the launcher started 2 tasks, and each is a node; leave the option out\n',
    });
    // The node of the second task has just started, so that the signal finds it loading its modules.
    await vi.waitUntil(() => second!.pidsOf('agent').length > 0, { timeout: 60_000, interval: 5 });
    second!.child.kill('SIGTERM');
    expect((await first!.finished).code).toBe(130);
    expect((await second!.finished).code).toBe(130);
    for (const task of [first!, second!]) await task.expectNothingLeft();
  });

  it('end with a run that one of them is asked to stop', async () => {
    const [first, second] = startTasks(2, launchArguments(temporaryFolder(), 'train.steps=100000'));
    await first!.until(/^step +\d+\/100000/m);
    second!.child.kill('SIGTERM');
    expect((await first!.finished).code).toBe(130);
    // Its own node's, which has ended well, or that of the run, whichever the task learns first.
    expect([0, 130]).toContain((await second!.finished).code);
    for (const task of [first!, second!]) await task.expectNothingLeft();
  });

  it('start afresh under the name of a launch that has ended, or was killed', async () => {
    const folder = temporaryFolder();
    const refused = startTasks(2, launchArguments(folder, 'train.stpes=3'));
    for (const task of refused) expect((await task.finished).code).toBe(2);
    const killed = startTasks(2, launchArguments(folder));
    await killed[0]!.until(/^node 1 joined/m);
    for (const task of killed) task.child.kill('SIGKILL');
    for (const task of killed) await task.expectNothingLeft();
    // The second task comes first, and finds what they have left.
    const args = launchArguments(folder, 'train.steps=3');
    const second = startTask(1, 2, args);
    await sleep(2_000);
    const ends = await Promise.all([startTask(0, 2, args), second].map(({ finished }) => finished));
    expect(
      ends.map(({ code }) => code),
      ends[1]!.stderr,
    ).toEqual([0, 0]);
  });

  it('end when the first is killed', async () => {
    const started = performance.now();
    const [first, second] = startTasks(2, launchArguments(temporaryFolder(), 'train.steps=100000'));
    await first!.until(/^step +\d+\/100000/m);
    const before = (performance.now() - started) / 1000;
    first!.child.kill('SIGKILL');
    const { code, seconds, stderr } = await second!.finished;
    expect(code, stderr).toBe(3);
    // Less than a node looks for a coordinator that may be back.
    expect(seconds - before).toBeLessThan(12);
    for (const task of [first!, second!]) await task.expectNothingLeft();
  });
});

it('mpirun trains on its tasks, which locmoe stop ends', async ({ skip }) => {
  if (spawnSync('mpirun', ['--version']).error !== undefined)
    skipLoudly(skip, 'no mpirun; as root on Debian: node scripts/python-oracles.mjs');
  const folder = temporaryFolder();
  const launcher = ['mpirun', '--allow-run-as-root', '--oversubscribe', '-n', '2', process.execPath, CLI];
  const run = new Locmoe(launchArguments(folder, 'train.steps=100000'), UNHURRIED, launcher);
  await run.until(/step +\d+\/100000/);
  const stop = await new Locmoe(['stop', '--runs-dir', path.join(folder, 'runs')]).finished;
  expect(stop.code, stop.stderr).toBe(0);
  const { code, stdout, stderr } = await run.finished;
  expect(code, stdout + stderr).toBe(0);
  expect(lossCurve(newestRun(folder)).size).toBeGreaterThan(0);
  await run.expectNothingLeft();
});
