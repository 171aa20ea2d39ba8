import { EventEmitter } from 'node:events';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type RankProcesses, WorkerPool } from '../../src/agent/worker-pool.js';
import type { WorkerExit, WorkerListener } from '../../src/agent/worker-process.js';
import { isRunning } from '../../src/os/process-info.js';
import type { WorkerAssignment, WorkerEvent } from '../../src/worker/messages.js';
import { scriptWorkers, until, WORKER_PROGRAM } from './support.js';

/** If it is set, `fork` gives this instead of a process. */
const stand = vi.hoisted(() => ({ in: null as object | null }));
vi.mock('node:child_process', async (importOriginal) => {
  const original = await importOriginal<typeof import('node:child_process')>();
  return {
    ...original,
    fork: (...args: Parameters<typeof original.fork>) => stand.in ?? original.fork(...args),
  };
});

let pool: WorkerPool;
let listener: WorkerListener;
let workers: RankProcesses;
let events: [number, WorkerEvent][];
let lines: [number, string, string][];
let exits: WorkerExit[];

beforeEach(() => {
  [events, lines, exits] = [[], [], []];
  pool = new WorkerPool(WORKER_PROGRAM);
  listener = {
    event: (rank, event) => events.push([rank, event]),
    line: (...line) => lines.push(line),
    exit: (exit) => exits.push(exit),
  };
});

afterEach(async () => {
  vi.useRealTimers();
  stand.in = null;
  await workers.end(0);
  await pool.end();
});

function start(...ranks: readonly number[]): void {
  workers = pool.start(
    ranks.map((rank, localRank) => ({ topology: { rank, localRank } }) as WorkerAssignment),
    listener,
  );
}

describe('workers', () => {
  it('are deaf to the signals of a launcher from their first line on', async () => {
    scriptWorkers([{ kill: 'SIGTERM' }, { kill: 'SIGINT' }, { exit: 0 }]);
    start(0);
    await until(() => exits.length === 1);
    expect(exits[0]).toMatchObject({ code: 0, signal: null });
  });

  it('that a signal ends are told with it, after their last line', async () => {
    scriptWorkers([{ print: 'last words' }, { kill: 'SIGSEGV' }]);
    listener.exit = (exit) => {
      expect(lines).toEqual([[0, 'last words', 'stdout']]);
      exits.push(exit);
    };
    start(0);
    await until(() => exits.length === 1);
    expect(exits[0]).toMatchObject({ code: null, signal: 'SIGSEGV', killedByUs: false });
  });

  it('run with one thread for TensorFlow, with their own allocator settings, in process groups of their own', async () => {
    scriptWorkers([{ printEnv: 'TF_NUM_INTRAOP_THREADS' }, { printEnv: 'MALLOC_ARENA_MAX' }, 'hang']);
    start(0);
    await until(() => lines.length === 2);
    expect(lines.map(([, line]) => line)).toEqual(['1', '1']);
    // The signal to the process group fails unless the worker leads a group.
    expect(process.kill(-workers.pidOf(0), 0)).toBe(true);
  });

  it('that cannot be started are told with the reason', async () => {
    const { execPath } = process;
    process.execPath = '/nowhere/node';
    start(2);
    process.execPath = execPath;
    await until(() => exits.length === 1);
    expect(exits[0]).toMatchObject({ rank: 2, pid: 0, code: null, signal: null });
    expect(exits[0].spawnError?.message).toMatch(/ENOENT/);
    expect(await workers.end(0)).toEqual([]);
  });
});

describe('the end', () => {
  it('kills those that are still there after their grace', async () => {
    scriptWorkers([{ emit: { type: 'ready' } }, 'hang']);
    start(0, 1);
    await until(() => events.length === 2);
    const pids = [workers.pidOf(0), workers.pidOf(1)];
    expect(await workers.end(20)).toEqual([]);
    expect(exits).toMatchObject([
      { signal: 'SIGKILL', killedByUs: true },
      { signal: 'SIGKILL', killedByUs: true },
    ]);
    expect(pids.filter(isRunning)).toEqual([]);
  });

  it('does not wait for ever for a worker that not even SIGKILL ends, and names it', async () => {
    // A real process cannot be made to hang in the kernel without a broken driver.
    const kill = vi.fn();
    stand.in = Object.assign(new EventEmitter(), {
      pid: 4711,
      exitCode: null,
      signalCode: null,
      stdout: new PassThrough(),
      stderr: new PassThrough(),
      kill,
      send: () => true,
    });
    start(0);
    vi.useFakeTimers();
    const left = workers.end(50);
    await vi.advanceTimersByTimeAsync(49);
    expect(kill).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(kill).toHaveBeenCalledWith('SIGKILL');
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await left).toEqual([4711]);
  });
});
