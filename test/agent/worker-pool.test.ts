import { EventEmitter } from 'node:events';
import { readFileSync } from 'node:fs';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type RankProcesses, WorkerPool } from '../../src/agent/worker-pool.js';
import type { WorkerExit, WorkerListener } from '../../src/agent/worker-process.js';
import type { RunConfig } from '../../src/config/schema.js';
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
  vi.restoreAllMocks();
  vi.useRealTimers();
  stand.in = null;
  await workers?.end(0);
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

describe('the next generation', () => {
  const pids = (...ranks: readonly number[]) => ranks.map((rank) => workers.pidOf(rank));

  async function endGeneration(): Promise<void> {
    workers.send({ type: 'release' });
    expect(await workers.end(60_000)).toEqual([]);
  }

  it('finds the processes that gave their ranks back, for the same ranks where it can', async () => {
    scriptWorkers(['await release']);
    start(2, 3);
    const first = pids(2, 3);
    await endGeneration();
    expect(exits).toEqual([]);
    start(3, 4);
    expect(pids(3, 4)).toEqual(first.toReversed());
    await endGeneration();
    expect(first.filter(isRunning)).toEqual(first);
    await pool.end();
    expect(first.filter(isRunning)).toEqual([]);
  });

  it('has a new process in the place of one that died or was killed', async () => {
    scriptWorkers(['await release'], [{ exit: 3 }], ['hang']);
    start(0, 1, 2);
    const first = pids(0, 1, 2);
    await until(() => exits.length === 1);
    workers.kill(2);
    await endGeneration();
    scriptWorkers(['hang']);
    start(0, 1, 2);
    expect(pids(0, 1, 2).map((pid, rank) => pid === first[rank])).toEqual([true, false, false]);
  });
});

describe('spares', () => {
  const config = { cluster: { spares: 1, maxRestarts: 3 } } as RunConfig;
  const spares = () =>
    readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8')
      .split(' ')
      .map(Number)
      .filter((pid) => pid > 0 && readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('worker.program'));

  it('take ranks, and one that dies is replaced, but not for ever', async () => {
    scriptWorkers(['hang']);
    const inform = vi.fn();
    pool.keepSpares(config, inform);
    const [first] = spares();
    start(0);
    expect(workers.pidOf(0)).toBe(first);
    pool.keepSpares(config, inform);
    pool.keepSpares(config, inform);
    const seen = new Set([first]);
    for (let time = 0; time < 4; time++) {
      await until(() => {
        pool.keepSpares(config, inform);
        return spares().some((pid) => !seen.has(pid));
      });
      const fresh = spares().filter((pid) => !seen.has(pid));
      expect(fresh).toHaveLength(1);
      seen.add(fresh[0]);
      process.kill(fresh[0], 'SIGKILL');
    }
    await until(() => spares().length === 1);
    pool.keepSpares(config, inform);
    expect(spares()).toEqual([first]);
    expect([exits, inform.mock.calls]).toEqual([[], []]);
  });

  it('are started two seconds after the begin, or thirty while steps are done again', () => {
    scriptWorkers(['hang']);
    const inform = vi.fn();
    pool.afterStep(5, 1_999, config, inform);
    pool.afterStep(5, 29_999, config, inform);
    expect(spares()).toEqual([]);
    pool.afterStep(6, 2_001, config, inform);
    expect(spares()).toHaveLength(1);
  });

  it('are not started while memory is short, which is told once', () => {
    vi.spyOn(process, 'availableMemory').mockReturnValue(300e6);
    const inform = vi.fn();
    pool.keepSpares(config, inform);
    pool.keepSpares(config, inform);
    expect(inform).toHaveBeenCalledExactlyOnceWith(
      expect.stringMatching(/^no spare .*: 300 MB of memory are free/),
    );
    expect(spares()).toEqual([]);
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
