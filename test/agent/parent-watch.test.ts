import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it, vi } from 'vitest';
import { ParentWatch } from '../../src/agent/parent-watch.js';
import { isRunning } from '../../src/os/process-info.js';
import { until } from './support.js';

const PROGRAM = fileURLToPath(new URL('./parent-watch.program.ts', import.meta.url));
/** A parent that starts the program as its child and then does nothing. */
const PARENT = `require('node:child_process')
  .spawn(process.execPath, ['--import', 'tsx', ${JSON.stringify(PROGRAM)}, String(process.pid)], { stdio: 'inherit' });
  setInterval(() => undefined, 1000);`;

const started: ChildProcess[] = [];

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  for (const child of started.splice(0)) child.kill('SIGKILL');
});

function run(...args: readonly string[]): ChildProcess {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  started.push(child);
  return child;
}

it('a process ends soon after its parent was killed', async () => {
  const parent = run('-e', PARENT);
  const [line] = await once(parent.stdout!, 'data');
  const pid = Number(line);
  expect(isRunning(pid)).toBe(true);
  parent.kill('SIGKILL');
  await until(() => !isRunning(pid), 'the end of the orphan');
});

it('a process whose parent is gone already ends at once, as a failed run', async () => {
  const orphan = run('--import', 'tsx', PROGRAM, '1');
  expect(await once(orphan, 'exit')).toEqual([3, null]);
});

it('the watch can be paused', () => {
  vi.useFakeTimers();
  const exit = vi.spyOn(process, 'exit').mockReturnValue(undefined as never);
  const parent = process.ppid;
  const watch = new ParentWatch(parent);
  const ppid = vi.spyOn(process, 'ppid', 'get').mockReturnValue(1);
  watch.pause();
  vi.advanceTimersByTime(10_000);
  expect(exit).not.toHaveBeenCalled();
  ppid.mockReturnValue(parent);
  watch.resume();
  ppid.mockReturnValue(2);
  vi.advanceTimersByTime(500);
  expect(exit).toHaveBeenCalledWith(3);
  watch.pause();
});
