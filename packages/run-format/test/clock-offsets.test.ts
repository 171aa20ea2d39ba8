import { describe, expect, it } from 'vitest';
import { clockOffsets, type RankSpans } from '../src/clock-offsets.js';
import type { OperationSpan } from '../src/flight-span.js';

const WORLD = 4;

/** An all-gather of all ranks, by a clock that is `offsetMs` ahead. */
function gather(sequence: number, startMs: number, endMs: number, offsetMs: number): OperationSpan {
  return {
    kind: 'all-gather',
    purpose: 'counts',
    layer: 1,
    step: 1,
    sequence,
    countsHash: 0,
    numSends: 3,
    numReceives: WORLD - 1,
    bytesOut: 1,
    bytesIn: 1,
    firstByteMs: null,
    startMs: startMs + offsetMs,
    endMs: endMs + offsetMs,
    enteredMs: null,
    waitMs: 0,
    waitEndMs: null,
    waitedFor: null,
  };
}

function node(
  number: number,
  machine: string,
  monotonicEpochMs: number,
  spans: OperationSpan[][],
): RankSpans[] {
  return spans.map((each, local) => ({
    rank: 2 * number + local,
    node: number,
    machine,
    monotonicEpochMs,
    spans: each,
  }));
}

describe('clocks of different machines', () => {
  it('are compared by what cannot have happened: an end before the last start', () => {
    const ahead = 1_000;
    // The run failed in this operation.
    const underWay = { ...gather(3, 30, 31, ahead), endMs: null };
    const first = node(0, 'a', 0, [
      [gather(1, 10, 12, 0), gather(2, 20, 21, 0), gather(3, 30, 31, 0)],
      [gather(1, 10.5, 12, 0), gather(2, 20.5, 21.25, 0)],
    ]);
    const second = node(1, 'b', 0, [
      [gather(1, 11, 13, ahead), gather(2, 20, 22, ahead)],
      [gather(1, 11.5, 12.25, ahead), gather(2, 20.25, 21.5, ahead), underWay],
    ]);
    const [reference, other] = clockOffsets([...second, ...first], WORLD);
    expect(reference).toEqual({ node: 0, offsetMs: 0, uncertaintyMs: 0 });
    // The offset is at least 1011.5 - 12 and 1020.25 - 21, and at most 1012.25 - 10.5 and 1021.5 - 20.5.
    expect(other).toEqual({ node: 1, offsetMs: 1_000.25, uncertaintyMs: 0.75 });
  });

  it('are left as they are where nothing says how they differ', () => {
    const partial = { ...gather(1, 11, 13, 5), numReceives: 1 };
    const ranks = [...node(0, 'a', 0, [[gather(1, 10, 12, 0)]]), ...node(1, 'b', 0, [[partial]])];
    expect(clockOffsets(ranks, WORLD)[1]).toEqual({ node: 1, offsetMs: 0, uncertaintyMs: null });
    expect(clockOffsets([], WORLD)).toEqual([]);
  });
});

it('nodes of one machine share its monotonic clock', () => {
  const ranks = [...node(0, 'a', 1_000.5, [[]]), ...node(1, 'a', 1_002, [[]])];
  expect(clockOffsets(ranks, WORLD)[1]).toEqual({ node: 1, offsetMs: 1.5, uncertaintyMs: 0 });
});
