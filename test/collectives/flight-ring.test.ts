import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { OperationStart } from '../../src/collectives/flight-ring.js';
import { MAX_PURPOSE_BYTES } from '../../src/collectives/purpose.js';
import { FLIGHT_SLOTS } from '../../src/collectives/shm-layout.js';
import { ShmSegment } from '../../src/collectives/shm-segment.js';

let segment: ShmSegment;

beforeEach(() => {
  const shape = { node: 0, numNodes: 2, workersPerNode: 2, ringBytes: 4096 };
  segment = ShmSegment.create(`flight-test-${process.pid}`, 1, shape);
});

afterEach(() => {
  segment.unlink();
  segment.close();
});

function startOf(sequence: number): OperationStart {
  return {
    sequence,
    step: sequence >> 3,
    numSends: 3,
    numReceives: 2,
    bytesOut: 5e9 + sequence,
    bytesIn: 7,
    startMs: 1e12 + sequence,
  };
}

describe('a flight ring', () => {
  it('gives back what was written, by another mapping of the same memory', () => {
    const place = { node: 0, numNodes: 2, workersPerNode: 2 };
    const worker = ShmSegment.attach(segment.path, 1, place);
    const ring = worker.flight(1);
    const purpose = 'dispatch gradient';
    ring.begin({ kind: 'all-to-all', purpose, layer: 3, countsHash: 0xfedcba98 }, startOf(1));
    ring.firstByte(1, 1e12 + 1.25);
    ring.end(1, 1e12 + 2.5);
    ring.begin({ kind: 'barrier', purpose: 'x'.repeat(MAX_PURPOSE_BYTES) }, startOf(2));
    expect(segment.flight(1).read()).toEqual([
      {
        ...startOf(1),
        kind: 'all-to-all',
        purpose,
        layer: 3,
        countsHash: 0xfedcba98,
        firstByteMs: 1e12 + 1.25,
        endMs: 1e12 + 2.5,
      },
      {
        ...startOf(2),
        kind: 'barrier',
        purpose: 'x'.repeat(MAX_PURPOSE_BYTES),
        layer: undefined,
        countsHash: 0,
        firstByteMs: null,
        endMs: null,
      },
    ]);
    expect(segment.flight(0).read()).toEqual([]);
    worker.close();
  });

  it('keeps the last operations when it wraps around, oldest first, without what the slots held before', () => {
    const ring = segment.flight(0);
    for (let sequence = 1; sequence <= 3 * FLIGHT_SLOTS + 5; sequence++) {
      ring.begin({ kind: 'all-reduce', purpose: 'gradients' }, startOf(sequence));
      if (sequence <= 3 * FLIGHT_SLOTS) ring.end(sequence, 1e12 + sequence);
    }
    const kept = ring.read();
    expect(kept.map(({ sequence }) => sequence)).toEqual(
      Array.from({ length: FLIGHT_SLOTS }, (_, i) => 2 * FLIGHT_SLOTS + 6 + i),
    );
    expect(kept.filter(({ endMs }) => endMs === null)).toHaveLength(5);
  });

  it('goes on over the end of 32-bit sequence numbers', () => {
    const ring = segment.flight(0);
    for (const sequence of [0xfffffffe, 0xffffffff, 1])
      ring.begin({ kind: 'barrier', purpose: 'step' }, { ...startOf(sequence), startMs: 1e12 });
    expect(ring.read().map(({ sequence }) => sequence)).toContain(0xffffffff);
    expect(ring.read()).toHaveLength(3);
  });
});
