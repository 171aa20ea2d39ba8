import { EventEmitter } from 'node:events';
import { PassThrough } from 'node:stream';
import { expect, it, vi } from 'vitest';
import { WorkerPool } from '../../src/agent/worker-pool.js';
import type { WorkerAssignment } from '../../src/worker/messages.js';

/** Stands for a process that hangs in the kernel: it cannot be killed. */
const hung = Object.assign(new EventEmitter(), {
  ...{ pid: 4711, exitCode: null, signalCode: null, stdout: new PassThrough(), stderr: new PassThrough() },
  kill: vi.fn(),
  send: () => true,
});

vi.mock('node:child_process', () => ({ fork: () => hung }));

it('does not wait for ever for a worker that not even SIGKILL ends, and names it', async () => {
  const nothing = () => undefined;
  const pool = new WorkerPool({ event: nothing, line: nothing, exit: nothing });
  pool.start([{ topology: { rank: 0 } } as WorkerAssignment]);
  const started = performance.now();
  expect(await pool.end(50)).toEqual([4711]);
  expect(hung.kill).toHaveBeenCalledWith('SIGKILL');
  expect(performance.now() - started).toBeLessThan(5_000);
});
