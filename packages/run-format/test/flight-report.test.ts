import { describe, expect, it } from 'vitest';
import {
  type FlightFile,
  lagOf,
  type RankFlight,
  type RecordedOperation,
  reportFlight,
} from '../src/index.js';

const T0 = 1_000_000;

function operation(
  sequence: number,
  startMs: number,
  endMs: number | null,
  more: Partial<RecordedOperation> = {},
): RecordedOperation {
  return {
    sequence,
    kind: sequence === 811 ? 'all-reduce' : 'all-to-all',
    purpose: sequence === 811 ? 'gradients' : 'dispatch',
    ...(sequence === 811 ? {} : { layer: 3 }),
    step: 203,
    numSends: 3,
    numReceives: 3,
    bytesOut: 10,
    bytesIn: 10,
    startMs: T0 + startMs,
    firstByteMs: null,
    endMs: endMs === null ? null : T0 + endMs,
    ...more,
  };
}

function flight(
  rank: number,
  operations: readonly RecordedOperation[],
  more: Partial<RankFlight> = {},
): RankFlight {
  return {
    rank,
    pid: 100 + rank,
    failure: null,
    processState: 'S',
    step: 203,
    phase: 'forward',
    waitingFor: null,
    operations,
    ...more,
  };
}

/** Files of two nodes of two ranks, written 10 s after `T0`. */
function filesOf(ranks: readonly RankFlight[]): FlightFile[] {
  return [0, 1].flatMap((node) => {
    const own = ranks.filter(({ rank }) => rank >> 1 === node);
    if (own.length === 0) return [];
    const place = { runId: 'run', generation: 1, node, numNodes: 2, workersPerNode: 2 };
    const written = { reason: 'rank 0: waited', writtenMs: T0 + 10_000 };
    return [{ format: 'locmoe-flight', version: 1, ...place, ...written, ranks: own }];
  });
}

const DONE = operation(811, -9, -5);
const waits = (rank: number, waitingFor: number) =>
  flight(rank, [DONE, operation(812, 0, null)], { waitingFor });

describe('the summary of a failure', () => {
  it('names a rank that is still in the operation before', () => {
    const late = flight(2, [operation(811, -2, null)], { waitingFor: 0 });
    const { summary, oddRanks, operations } = reportFlight(
      filesOf([waits(0, 2), waits(1, 2), late, waits(3, 2)]),
    );
    expect(summary).toBe(
      'all-to-all 812, step 203, layer 3, dispatch: waiting for rank 2 on node 1 for 10.0 s; rank 2 is in all-reduce 811',
    );
    expect(oddRanks).toEqual([2]);
    expect(operations).toMatchObject([
      { sequence: 811, entered: [0, 1, 2, 3], left: [0, 1, 3], missing: [], last: { rank: 2, lateMs: 7 } },
      { sequence: 812, entered: [0, 1, 3], left: [], missing: [2], last: null },
    ]);
  });

  it('names a rank that computes between two operations', () => {
    const late = flight(3, [DONE], { phase: 'backward' });
    const { summary } = reportFlight(filesOf([waits(0, 3), waits(1, 3), waits(2, 3), late]));
    expect(summary).toMatch(
      /: waiting for rank 3 on node 1 for 10\.0 s; rank 3 left all-reduce 811 and is in step 203, backward$/,
    );
  });

  it('names a rank that died, though another is further behind', () => {
    const dead = flight(1, [DONE, operation(812, -1, null)], { failure: 'WORKER_DIED', processState: 'X' });
    const { oddRanks, summary } = reportFlight(filesOf([waits(0, 1), dead, flight(2, [DONE]), waits(3, 1)]));
    expect(oddRanks).toEqual([1]);
    expect(summary).toMatch(
      /waiting for rank 1 on node 0 .*; rank 1 is in all-to-all 812, and its process 101 has died$/,
    );
  });

  it('agrees with whom each rank waits for: the wait for a rank that waits itself leads on', () => {
    const dead = flight(3, [DONE, operation(812, -1, null)], {
      failure: 'WORKER_DIED',
      processState: 'X',
      waitingFor: 0,
    });
    const { oddRanks, ranks } = reportFlight(filesOf([waits(0, 3), waits(1, 0), waits(2, 1), dead]));
    expect(oddRanks).toEqual([3]);
    // The dead rank waits in an operation that the others finished long ago, so its wait does not count.
    expect(ranks.map(({ waitChain }) => waitChain)).toEqual([[3], [0, 3], [1, 0, 3], []]);
    const around = reportFlight(filesOf([waits(0, 1), waits(1, 2), waits(2, 0), flight(3, [DONE])]));
    expect(around.ranks[0].waitChain).toEqual([1, 2]);
  });

  it('does not take the rank that gave up waiting for the cause', () => {
    const gaveUp = flight(0, [DONE, operation(812, 0, null)], {
      failure: 'COLLECTIVE_TIMEOUT',
      waitingFor: 2,
    });
    expect(reportFlight(filesOf([gaveUp, waits(1, 2), waits(2, 0), waits(3, 2)])).oddRanks).toEqual([2]);
  });

  it('names a rank of which there is no file by those that wait for it', () => {
    const { oddRanks, missingNodes, summary } = reportFlight(filesOf([waits(0, 1), waits(1, 2)]));
    expect(oddRanks).toEqual([2]);
    expect(missingNodes).toEqual([1]);
    expect(summary).toMatch(/waiting for rank 2 on node 1 for 10\.0 s; of rank 2 there is no file$/);
  });

  it.each<[string, Partial<RecordedOperation>]>([
    ['another operation', { kind: 'barrier', purpose: 'step' }],
    ['another step', { step: 204 }],
    ['other counts', { countsHash: 0xabc }],
  ])('names a rank that goes by %s', (_, more) => {
    const other = flight(1, [DONE, operation(812, 0, null, more)]);
    const { oddRanks, summary } = reportFlight(filesOf([waits(0, 1), other, waits(2, 1), waits(3, 1)]));
    expect(oddRanks).toEqual([1]);
    expect(summary).toMatch(
      /^operation 812: rank 1 on node 0 is in .*; rank 0 is in all-to-all 812, step 203, layer 3, dispatch$/,
    );
  });

  it('accuses nobody where nobody waits', () => {
    const { oddRanks, summary } = reportFlight(filesOf([0, 1, 2, 3].map((rank) => flight(rank, [DONE]))));
    expect({ oddRanks, summary }).toEqual({ oddRanks: [], summary: 'no rank was waiting for another' });
    expect(reportFlight(filesOf([0, 1, 2, 3].map((rank) => flight(rank, [])))).operations).toEqual([]);
  });
});

it('counts how often a rank came last, and leaves out what one ring has overwritten', () => {
  const ranks = [0, 1, 2, 3].map((rank) => {
    const operations = [0, 1, 2, 3, 4].map((i) =>
      operation(800 + i, 10 * i + (rank === 3 && i > 1 ? i : rank / 10), 10 * i + 9),
    );
    return flight(rank, rank === 0 ? operations.slice(1) : operations);
  });
  const report = reportFlight(filesOf(ranks));
  expect(report.operations.map(({ sequence }) => sequence)).toEqual([801, 802, 803, 804]);
  expect(report.operations[3].tookMs).toBeCloseTo(5);
  expect(lagOf(report, 3).timesLast).toBe(4);
  expect(lagOf(report, 3).medianLateMs).toBeCloseTo(3);
  expect(lagOf(report, 0)).toEqual({ timesLast: 0, medianLateMs: 0 });
});
