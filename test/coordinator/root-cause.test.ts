import { describe, expect, it } from 'vitest';
import { type RootCause, rootCause } from '../../src/coordinator/root-cause.js';
import { TrainerError } from '../../src/errors.js';
import type { WorkerFailure, WorkerProgress } from '../../src/rpc/generated/messages.js';

const failure = (rank: number, code: string, timeMs: number, message = code): WorkerFailure => ({
  rank,
  pid: 100 + rank,
  code,
  message,
  step: 7,
  layer: 3,
  operation: 'all-to-all dispatch',
  timeMs,
  exitCode: -1,
  signal: code === 'WORKER_DIED' ? 'SIGKILL' : '',
});

const progress = (rank: number, processState: string): [number, WorkerProgress] => [
  rank,
  {
    rank,
    pid: 100 + rank,
    step: 6,
    phase: 'backward',
    operation: 'after all-reduce',
    processState,
    residentBytes: 0,
    idleMs: 0,
    layer: 2,
    sequence: 0,
    waitingFor: -1,
    stalledMs: 0,
    stoppedMs: 0,
  },
];

const judge = (
  failures: readonly WorkerFailure[],
  ranks: readonly [number, WorkerProgress][] = [],
  lostNode: RootCause | null = null,
  slowLink: string | null = null,
) => rootCause({ failures, lostNode, worldSize: 4, workersPerNode: 2, progress: new Map(ranks), slowLink });

describe('rootCause', () => {
  it('blames a configured link that is too slow, not the ranks that all waited for it', () => {
    const waited = [0, 1, 2, 3].map((rank) => failure(rank, 'COLLECTIVE_TIMEOUT', rank, 'waited 10.0 s'));
    const { error, culprit } = judge(waited, [], null, 'the link is slow');
    expect(error.message).toBe('waited 10.0 s; the link is slow');
    expect(culprit).toBeNull();
    expect(judge(waited.slice(1), [], null, 'the link is slow').culprit?.rank).toBe(0);
    expect(judge(waited).culprit?.rank).toBe(0);
  });

  it('takes a death over the time-outs and aborts that it caused, whatever came first', () => {
    const { error, culprit } = judge([
      failure(0, 'COLLECTIVE_TIMEOUT', 1),
      failure(1, 'ABORTED', 0),
      failure(2, 'WORKER_DIED', 9, 'was killed'),
    ]);
    expect(error.line).toBe('rank 2, node 1, step 7, layer 3, all-to-all dispatch: was killed');
    expect(culprit).toEqual({
      rank: 2,
      node: 1,
      pid: 102,
      exitCode: null,
      signal: 'SIGKILL',
      step: 7,
      layer: 3,
      operation: 'all-to-all dispatch',
    });
  });

  it('takes the first that it heard of two of a kind, whatever the clocks of their nodes say', () => {
    expect(judge([failure(3, 'INTERNAL', 3_600_005), failure(1, 'NOT_FINITE', 4)]).culprit?.rank).toBe(3);
  });

  it('names the rank that reported nothing when all others timed out', () => {
    const { error, culprit } = judge(
      [
        failure(0, 'COLLECTIVE_TIMEOUT', 3, 'waited'),
        failure(1, 'ABORTED', 4),
        failure(3, 'COLLECTIVE_TIMEOUT', 2),
      ],
      [progress(2, 'T')],
    );
    expect(error.message).toContain(
      'rank 2 (node 1, pid 102) is stopped (SIGSTOP), last seen in step 6, backward, after all-reduce',
    );
    expect(error.context.rank).toBe(0);
    expect(culprit).toEqual({
      rank: 2,
      node: 1,
      pid: 102,
      exitCode: null,
      signal: null,
      step: 6,
      layer: 2,
      operation: 'backward, after all-reduce',
    });
  });

  it('does not claim a stop it has not seen', () => {
    const timeouts = [0, 1, 3].map((rank) => failure(rank, 'COLLECTIVE_TIMEOUT', rank));
    expect(judge(timeouts, [progress(2, 'R')]).error.message).toContain('does not answer');
    expect(judge(timeouts).error.message).toContain('rank 2 (node 1) was never heard of');
  });

  it('takes a lost node over the streams that broke with it, but not over a death before it', () => {
    const lost = { error: new TrainerError('NODE_LOST', 'agent gone', { node: 1 }), culprit: null };
    const broken = failure(0, 'NODE_LOST', 1, 'stream broke');
    expect(judge([broken, failure(1, 'ABORTED', 2)], [], lost)).toBe(lost);
    expect(judge([], [], lost)).toBe(lost);
    expect(judge([broken, failure(2, 'WORKER_DIED', 3)], [], lost).error.code).toBe('WORKER_DIED');
    expect(judge([broken, failure(1, 'ABORTED', 2)]).error.message).toBe('stream broke');
  });

  it.each(['NODE_LOST', 'BAD_MESSAGE'])(
    'blames no rank of the agent that tells of a bad stream (%s)',
    (code) => {
      const { error, culprit } = judge([
        failure(1, 'ABORTED', 1),
        failure(2, code, 2, 'the stream from node 0'),
      ]);
      expect(culprit).toBeNull();
      expect(error.line).toBe('node 1, step 7: the stream from node 0');
    },
  );

  it('takes what cannot follow from a bad stream over it, and a bad stream over those that then broke', () => {
    const bad = failure(2, 'BAD_MESSAGE', 1);
    const lost = { error: new TrainerError('NODE_LOST', 'agent gone', { node: 0 }), culprit: null };
    expect(judge([bad, failure(1, 'NOT_FINITE', 2)]).culprit?.rank).toBe(1);
    expect(judge([bad, failure(1, 'ABORTED', 2)], [], lost)).toBe(lost);
    expect(judge([failure(0, 'NODE_LOST', 0), bad]).error.code).toBe('BAD_MESSAGE');
  });

  it('answers without any evidence', () => {
    expect(judge([]).error.code).toBe('INTERNAL');
  });
});
