import { readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { numListening } from '../listening-ports.js';
import { locmoe, newestRun, startTraining, temporaryFolder } from './support.js';

it('a worker that is stopped for most of the time is named, with what it costs, and not ended; no process can be debugged', async () => {
  const folder = temporaryFolder();
  const run = startTraining({ folder, nodes: 1, workersPerNode: 2, sets: ['train.steps=100000'] });
  await run.until(/step +[3-9]\d+\/100000/);
  const pids = run.descendants();
  expect(pids).toHaveLength(4);
  const listening = pids.map(numListening);
  for (const pid of pids) process.kill(pid, 'SIGUSR1');

  const [victim] = run.pidsOf('worker');
  const slow =
    /warning: rank \d \(node 0, \S+\) takes \S+ times as long as the others: .*it is stopped now and then/;
  const stops = (async () => {
    while (!slow.test(run.output) && run.child.exitCode === null) {
      process.kill(victim, 'SIGSTOP');
      await sleep(300);
      process.kill(victim, 'SIGCONT');
      await sleep(100);
    }
  })();
  await run.until(slow);
  await stops;
  // Node's own handler of SIGUSR1 would have opened a port for a debugger by now.
  expect(pids.map(numListening)).toEqual(listening);
  expect(run.output).not.toMatch(/Debugger/);
  const { stdout } = await locmoe('status', '--runs-dir', path.join(folder, 'runs'));
  expect(stdout).toMatch(/own p50 +p99 +lost/);
  expect(stdout).toMatch(new RegExp(` ${victim} .* \\d+\\.\\d ms +\\d+ %`));
  const log = () => readFileSync(path.join(newestRun(folder), 'logs/coordinator.ndjson'), 'utf8');
  await expect.poll(log, { timeout: 240_000 }).toMatch(/is as fast as the others again/);
  run.interrupt();
  expect((await run.finished).code).toBe(130);
  await run.expectNothingLeft();
  expect(log().match(/times as long as the others/g)).toHaveLength(1);
});
