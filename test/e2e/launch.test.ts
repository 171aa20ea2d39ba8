import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { skipLoudly } from '../debian-tool.js';
import { NIGHTLY } from '../nightly.js';
import { CLI, DATA_DIR, Locmoe, lossCurve, MICRO, newestRun, temporaryFolder, UNHURRIED } from './support.js';

/** `locmoe launch` of a long run for nodes of one worker on this machine. */
function launchArguments(folder: string, set = 'train.steps=100000'): string[] {
  writeFileSync(path.join(folder, 'micro.yaml'), MICRO);
  return [
    'launch',
    '--config',
    path.join(folder, 'micro.yaml'),
    '--workers-per-node',
    '1',
    '--no-samples',
    '--listen',
    '127.0.0.1:0',
    '--runs-dir',
    path.join(folder, 'runs'),
    '--data-dir',
    DATA_DIR,
    '--set',
    set,
  ];
}

/** Starts two tasks as a launcher without environment variables would. */
function startTasks(args: readonly string[]): [Locmoe, Locmoe] {
  return [startTask(0, args), startTask(1, args)];
}

function startTask(rank: number, args: readonly string[], job = 'test'): Locmoe {
  const launcher = { LOCMOE_RANK: String(rank), LOCMOE_SIZE: '2', LOCMOE_JOB: job };
  return new Locmoe(args, { ...UNHURRIED, ...launcher });
}

const until = (isSo: () => boolean) => vi.waitUntil(isSo, { timeout: 60_000, interval: 5 });

describe('tasks', () => {
  it('start afresh under the name of a launch that was refused or killed, and end when one of them is asked to', async () => {
    const folder = temporaryFolder();
    const refused = startTasks(launchArguments(folder, 'train.stpes=3'));
    for (const task of refused) expect((await task.finished).code).toBe(2);
    expect((await refused[0].finished).stderr).toMatch(
      /^locmoe: --set train\.stpes=3: .*; did you mean steps\?$/m,
    );

    const args = launchArguments(folder);
    const killed = startTasks(args);
    await killed[0].until(/^node 1 joined/m);
    for (const task of killed) task.child.kill('SIGKILL');
    for (const task of killed) await task.expectNothingLeft();

    const second = startTask(1, args);
    // It is started first, and finds the files that the earlier launches left.
    await until(() => existsSync(path.join(folder, 'runs/.launch-test-2/3/task-1')));
    const first = startTask(0, args);
    await first.until(/^step +\d+\/100000/m);
    second.child.kill('SIGTERM');
    expect((await first.finished).code).toBe(130);
    // The code of its own node, which ended successfully, or that of the run, whichever the task learns first.
    expect([0, 130]).toContain((await second.finished).code);
    for (const task of [first, second]) await task.expectNothingLeft();
  });

  it('that are as many as the launcher says refuse another number of nodes', async () => {
    const args = [...launchArguments(temporaryFolder()), '--nodes', '3'];
    expect(await startTask(1, args).finished).toMatchObject({
      code: 2,
      stderr: 'locmoe: --nodes 3: the launcher started 2 tasks, and each is a node; leave the option out\n',
    });
  });

  it.runIf(NIGHTLY)('end with the code of one whose node is killed while it loads its modules', async () => {
    const tasks = startTasks(launchArguments(temporaryFolder()));
    await until(() => tasks[1].pidsOf('agent').length > 0);
    tasks[1].child.kill('SIGTERM');
    for (const task of tasks) expect((await task.finished).code).toBe(130);
    for (const task of tasks) await task.expectNothingLeft();
  });

  it('end when the first is killed, without another node that looks for it', async () => {
    const [first, second] = startTasks(launchArguments(temporaryFolder()));
    await first.until(/^step +\d+\/100000/m);
    const nodes = new Set(second.pidsOf('agent'));
    first.child.kill('SIGKILL');
    while (second.child.exitCode === null) {
      for (const pid of second.pidsOf('agent')) nodes.add(pid);
      await sleep(50);
    }
    const { code, stderr } = await second.finished;
    expect(code, stderr).toBe(3);
    expect(nodes.size).toBe(1);
    for (const task of [first, second]) await task.expectNothingLeft();
  });
});

it('mpirun trains on its tasks, which locmoe stop ends', async ({ skip }) => {
  if (spawnSync('mpirun', ['--version']).error !== undefined)
    skipLoudly(skip, 'no mpirun; as root on Debian: node scripts/python-oracles.mjs');
  const folder = temporaryFolder();
  const launcher = ['mpirun', '--allow-run-as-root', '--oversubscribe', '-n', '2', process.execPath, CLI];
  const run = new Locmoe(launchArguments(folder), UNHURRIED, launcher);
  await run.until(/step +\d+\/100000/);
  const stop = await new Locmoe(['stop', '--runs-dir', path.join(folder, 'runs')]).finished;
  expect(stop.code, stop.stderr).toBe(0);
  const { code, stdout, stderr } = await run.finished;
  expect(code, stdout + stderr).toBe(0);
  expect(lossCurve(newestRun(folder)).size).toBeGreaterThan(0);
  await run.expectNothingLeft();
});
