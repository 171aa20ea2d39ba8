import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NodeWorkers } from '../../src/agent/node-workers.js';
import type { WorkerFault } from '../../src/agent/worker-failure.js';
import { WorkerPool } from '../../src/agent/worker-pool.js';
import type { RankProgress } from '../../src/collectives/control-block.js';
import type { AgentEvent } from '../../src/rpc/generated/messages.js';
import type { SnapshotReport, WorkerAssignment } from '../../src/worker/messages.js';
import { scriptWorkers, until, WORKER_PROGRAM } from './support.js';

let workers: NodeWorkers;
let reports: AgentEvent[];
let snapshots: SnapshotReport[];
let faults: WorkerFault[];
let lines: string[];
let finished: boolean[];

beforeEach(() => {
  [reports, snapshots, faults, lines, finished] = [[], [], [], [], []];
  workers = new NodeWorkers(
    {
      line: (_rank, line) => lines.push(line),
      snapshot: (report) => snapshots.push(report),
      report: (event) => reports.push(event),
      failed: (fault) => faults.push(fault),
      finished: (stoppedEarly) => finished.push(stoppedEarly),
    },
    new WorkerPool(WORKER_PROGRAM),
  );
});

afterEach(() => workers.end(0));

/** Starts ranks 2 and 3. */
function start(): Promise<void> {
  return workers.start(
    [2, 3].map((rank, localRank) => ({ topology: { rank, localRank } }) as WorkerAssignment),
  );
}

const READY = { emit: { type: 'ready' } };
const FINISHED = { emit: { type: 'finished', stoppedEarly: false } };

describe('the workers of a node', () => {
  it('are ready when each of them is, however often one says so', async () => {
    scriptWorkers(
      [READY, READY, { print: 'twice' }, 'hang'],
      [{ print: 'building' }, 'await begin', READY, 'hang'],
    );
    let isReady = false;
    const ready = start().then(() => {
      isReady = true;
    });
    await until(() => lines.includes('twice') && lines.includes('building'));
    expect(isReady).toBe(false);
    workers.begin();
    await ready;
  });

  it('have finished once all processes have ended well, which is told once', async () => {
    // Both report that they have finished before either process ends; the report of the second counts for the node.
    scriptWorkers(
      [FINISHED, FINISHED, READY, 'await begin', { exit: 0 }],
      [{ emit: { type: 'finished', stoppedEarly: true } }, READY, 'hang'],
    );
    await start();
    workers.begin();
    await until(() => workers.progress(() => IDLE)[0].processState === 'X');
    expect(finished).toEqual([]);
    await workers.end(0);
    expect(finished).toEqual([]);
  });

  it('say whether one of them stopped early', async () => {
    scriptWorkers([FINISHED, { exit: 0 }], [{ emit: { type: 'finished', stoppedEarly: true } }, { exit: 0 }]);
    void start();
    await until(() => finished.length > 0);
    expect([finished, faults]).toEqual([[true], []]);
  });

  it('have finished too where one does not end, which is killed', async () => {
    scriptWorkers([FINISHED, 'hang'], [FINISHED, { exit: 0 }]);
    void start();
    await until(() => finished.length > 0);
    expect([finished, faults]).toEqual([[false], []]);
    expect(lines).toEqual(['the worker has finished, and is killed as it does not end within 5 s']);
  });

  it('hand their reports on', async () => {
    scriptWorkers([
      { emit: { type: 'step', report: { step: 1 } } },
      { emit: { type: 'validation', report: { step: 2 } } },
      { emit: { type: 'saving', report: { step: 3 } } },
      { emit: { type: 'shards', report: { step: 4 } } },
      { emit: { type: 'snapshot', report: { step: 5 } } },
      'hang',
    ]);
    void workers.start([{ topology: { rank: 0, localRank: 0 } } as WorkerAssignment]);
    await until(() => snapshots.length === 1);
    expect(snapshots).toEqual([{ step: 5 }]);
    expect(reports).toEqual([
      { event: 'step', step: { step: 1 } },
      { event: 'validation', validation: { step: 2 } },
      { event: 'saving', saving: { step: 3 } },
      { event: 'shards', shards: { step: 4 } },
    ]);
  });
});

describe('a worker fails', () => {
  it.each([
    [
      'that reports an error',
      [{ emit: { type: 'failed', code: 'NOT_FINITE', message: 'NaN', context: { step: 4 } } }, 'hang'],
      { code: 'NOT_FINITE', message: 'NaN', context: { step: 4 } },
      null,
    ],
    [
      'that a signal ends',
      [{ kill: 'SIGSEGV' }],
      { code: 'WORKER_DIED', message: expect.stringMatching(/^worker \(pid \d+\) was killed by SIGSEGV$/) },
      'SIGSEGV',
    ],
    [
      'that exits in the middle',
      [READY, { exit: 0 }],
      { code: 'WORKER_DIED', message: expect.stringMatching(/ended with code 0$/) },
      null,
    ],
    [
      'that crashes after it has finished',
      [FINISHED, { exit: 7 }],
      { code: 'WORKER_DIED', message: expect.stringMatching(/ended with code 7$/) },
      null,
    ],
  ] as const)('%s', async (_what, script, error, signal) => {
    scriptWorkers(script, ['hang']);
    void start();
    await until(() => faults.length > 0);
    expect(faults[0]).toMatchObject({ rank: 2, error, signal });
    expect(finished).toEqual([]);
  });

  it('but not one that was killed because the node leaves', async () => {
    scriptWorkers([READY, 'hang']);
    await start();
    expect(await workers.end(0)).toEqual([]);
    expect(faults).toEqual([]);
  });
});

const IDLE: RankProgress = { pid: 1, step: 9, phase: 'backward', heartbeat: 3, operation: null };

it('progress has what the control block and the kernel know of each process', async () => {
  expect(workers.progress(() => IDLE)).toEqual([]);
  scriptWorkers([READY, 'hang']);
  await start();
  const [first, second] = workers.progress((rank) => ({ ...IDLE, step: 10 * rank }));
  expect(first).toMatchObject({ rank: 2, step: 20, phase: 'backward', operation: '', layer: -1, idleMs: 0 });
  expect(second).toMatchObject({ rank: 3, step: 30 });
  expect(first.pid).not.toBe(second.pid);
  expect(first.residentBytes).toBeGreaterThan(1 << 20);
  process.kill(first.pid, 'SIGSTOP');
  await until(() => workers.progress(() => IDLE)[0].processState === 'T');
});
