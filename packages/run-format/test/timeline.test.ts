import { describe, expect, it } from 'vitest';
import { FlightRing } from '../../../src/collectives/flight-ring.js';
import { FLIGHT_WORDS } from '../../../src/collectives/shm-layout.js';
import type { RankSpans } from '../src/clock-offsets.js';
import { timelineOf } from '../src/timeline.js';

type Record = (ring: FlightRing) => void;

/** Two nodes of one machine with one rank each; the second's clock is 100 ms ahead. */
function timeline(...records: Record[]) {
  const ranks = records.map((record, rank): RankSpans => {
    const ring = new FlightRing(new Int32Array(FLIGHT_WORDS), 0);
    record(ring);
    return { rank, node: rank, machine: 'a', monotonicEpochMs: 100 * rank, spans: ring.read() };
  });
  const { lanes } = timelineOf({
    runId: 'r',
    generation: 1,
    numNodes: records.length,
    workersPerNode: 1,
    ranks,
  });
  return lanes;
}

function begin(ring: FlightRing, sequence: number, startMs: number, numReceives: number): number {
  const sizes = { numSends: numReceives, numReceives, bytesOut: 10, bytesIn: 20 };
  return ring.begin(
    { kind: 'all-gather', purpose: 'counts', layer: 2 },
    { ...sizes, sequence, step: 1, startMs },
  );
}

describe('a timeline', () => {
  it('puts all ranks on the clock of the first node, with whom each waited for', () => {
    const [first, second] = timeline(
      (ring) => {
        const gather = begin(ring, 7, 10, 1);
        ring.enter(gather, 10);
        ring.wait(gather, 4, 15, 1);
        ring.end(gather, 16);
      },
      (ring) => {
        const gather = begin(ring, 7, 114, 1);
        ring.enter(gather, 114);
        ring.end(gather, 115);
      },
    );
    expect(first.spans).toEqual([
      {
        kind: 'all-gather',
        name: 'counts',
        layer: 2,
        step: 1,
        startMs: 10,
        endMs: 16,
        isOpen: false,
        operation: {
          sequence: 7,
          bytesOut: 10,
          bytesIn: 20,
          wait: { startMs: 11, endMs: 15, rank: 1, rankStartMs: 14 },
        },
      },
    ]);
    expect(second.spans).toMatchObject([{ startMs: 14, endMs: 15, operation: { wait: null } }]);
  });

  it('blames the last to begin where several came at once and all send to all', () => {
    const waiting = (numReceives: number) => (ring: FlightRing) => {
      const gather = begin(ring, 7, 10, numReceives);
      ring.enter(gather, 10);
      ring.wait(gather, 4, 15, -1);
      ring.end(gather, 16);
    };
    const late = (startMs: number) => (ring: FlightRing) => ring.end(begin(ring, 7, startMs, 2), startMs + 1);
    const waitOf = (numReceives: number) =>
      timeline(waiting(numReceives), late(112), late(214))[0].spans[0].operation?.wait;
    expect(waitOf(2)).toMatchObject({ rank: 2, rankStartMs: 14 });
    expect(waitOf(1)).toMatchObject({ rank: null, rankStartMs: null });
  });

  it('of what travelled meanwhile shows the wait on the thread, and the way apart', () => {
    const [lane] = timeline((ring) => {
      const overlapped = begin(ring, 1, 10, 1);
      ring.end(ring.beginPart('experts', 2, 1, 11), 20);
      ring.enter(overlapped, 20);
      ring.end(overlapped, 25);
      // This operation is over before its rank waits for it.
      ring.end(begin(ring, 2, 30, 1), 31);
    });
    expect(lane.spans.map(({ name, startMs, endMs }) => [name, startMs, endMs])).toEqual([
      ['experts', 11, 20],
      ['counts', 20, 25],
    ]);
    expect(lane.inFlight.map(({ startMs, endMs }) => [startMs, endMs])).toEqual([
      [10, 25],
      [30, 31],
    ]);
  });

  it('ends what is still under way with the trace', () => {
    const [lane] = timeline((ring) => {
      ring.beginPart('step', -1, 1, 10);
      ring.end(ring.beginPart('experts', 2, 1, 11), 20);
    });
    expect(lane.spans.map(({ name, endMs, isOpen }) => [name, endMs, isOpen])).toEqual([
      ['step', 20, true],
      ['experts', 20, false],
    ]);
  });
});
