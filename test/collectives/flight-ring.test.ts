import { FLIGHT, operationsOf, type RecordedSpan, readSlot } from '@locmoe/run-format';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FlightRing, type OperationStart } from '../../src/collectives/flight-ring.js';
import { MAX_PURPOSE_BYTES } from '../../src/collectives/purpose.js';
import { FLIGHT_NAMES, FLIGHT_SLOTS, FLIGHT_WORDS } from '../../src/collectives/shm-layout.js';
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

const NO_WAIT = { enteredMs: null, waitMs: 0, waitEndMs: null, waitedFor: null };

describe('a flight ring', () => {
  it('gives back what was written, by another mapping of the same memory', () => {
    const place = { node: 0, numNodes: 2, workersPerNode: 2 };
    const worker = ShmSegment.attach(segment.path, 1, place);
    const ring = worker.flight(1);
    const purpose = 'dispatch gradient';
    const first = ring.begin({ kind: 'all-to-all', purpose, layer: 3, countsHash: 0xfedcba98 }, startOf(1));
    ring.firstByte(first, 1e12 + 1.25);
    ring.enter(first, 1e12 + 1.5);
    ring.wait(first, 0.5, 1e12 + 2.25, 0);
    ring.end(first, 1e12 + 2.5);
    ring.begin({ kind: 'barrier', purpose: 'x'.repeat(MAX_PURPOSE_BYTES) }, startOf(2));
    ring.end(ring.beginPart('experts', 7, 9, 1e12 + 3), 1e12 + 4);
    const operations = [
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
    ];
    const spans = segment.flight(1).read();
    expect(spans).toEqual([
      {
        ...operations[0],
        enteredMs: 1e12 + 1.5,
        waitMs: 0.5,
        waitEndMs: 1e12 + 2.25,
        waitedFor: 0,
      },
      { ...operations[1], ...NO_WAIT },
      { kind: 'part', purpose: 'experts', layer: 7, step: 9, startMs: 1e12 + 3, endMs: 1e12 + 4 },
    ]);
    expect(operationsOf(spans)).toEqual(operations);
    expect(segment.flight(0).read()).toEqual([]);
    worker.close();
  });

  it('keeps the last spans when it wraps around, oldest first, without what the slots held before', () => {
    const ring = segment.flight(0);
    const long = ring.beginPart('step', -1, 1, 1e12);
    for (let sequence = 1; sequence <= 2 * FLIGHT_SLOTS + 5; sequence++) {
      const ticket = ring.begin({ kind: 'all-reduce', purpose: 'gradients' }, startOf(sequence));
      if (sequence <= 2 * FLIGHT_SLOTS) ring.end(ticket, 1e12 + sequence);
    }
    // Another span has taken its slot.
    ring.end(long, 5);
    const kept = operationsOf(ring.read());
    expect(kept.map(({ sequence }) => sequence)).toEqual(
      Array.from({ length: FLIGHT_SLOTS }, (_, i) => FLIGHT_SLOTS + 6 + i),
    );
    expect(kept.filter(({ endMs }) => endMs === null)).toHaveLength(5);
    expect(kept.filter(({ endMs }) => endMs === 5)).toEqual([]);
  });

  it('has room for so many names, and refuses more', () => {
    const ring = segment.flight(0);
    for (let i = 0; i < FLIGHT_NAMES; i++) ring.beginPart(`part ${i}`, -1, 1, 1);
    expect(() => ring.beginPart('one more', -1, 1, 1)).toThrow(/"one more" is one name .* more than 128/);
    expect(ring.read().map(({ purpose }) => purpose)).toEqual(
      Array.from({ length: FLIGHT_NAMES }, (_, i) => `part ${i}`),
    );
  });
});

describe('taking spans from a ring', () => {
  const namesOf = (ring: FlightRing, after: number, all = false) => {
    const { words, upTo } = ring.take(after, { all });
    const floats = new Float64Array(words.buffer, 0, words.length >> 1);
    const spans: RecordedSpan[] = [];
    for (let slot = 0; slot < words.length; slot += FLIGHT.words)
      spans.push(readSlot(words, floats, slot, (code) => ring.names[code]));
    return { names: spans.map(({ purpose }) => purpose), upTo };
  };

  it('goes on where it stopped, before the first that is still under way', () => {
    const ring = segment.flight(0);
    ring.end(ring.beginPart('one', -1, 1, 1), 2);
    const two = ring.beginPart('two', -1, 1, 2);
    ring.end(ring.beginPart('inside', -1, 1, 2), 3);
    const first = namesOf(ring, 0);
    expect(first.names).toEqual(['one']);
    expect(namesOf(ring, first.upTo, true).names).toEqual(['two', 'inside']);
    expect(namesOf(ring, first.upTo).names).toEqual([]);
    ring.end(two, 4);
    const second = namesOf(ring, first.upTo);
    expect(second.names).toEqual(['two', 'inside']);
    expect(namesOf(ring, second.upTo)).toEqual({ names: [], upTo: second.upTo });
  });

  it('leaves out what the ring has lost meanwhile', () => {
    const ring = segment.flight(0);
    for (let i = 1; i <= FLIGHT_SLOTS + 3; i++)
      ring.end(ring.beginPart(i < 10 ? `${i}` : 'later', -1, 1, i), i + 1);
    const { names, upTo } = namesOf(ring, 1);
    expect(names).toHaveLength(FLIGHT_SLOTS);
    expect(names.slice(0, 3)).toEqual(['4', '5', '6']);
    expect(upTo).toBe(FLIGHT_SLOTS + 3);
  });
});

it('all processes of a node have one clock', () => {
  const worker = ShmSegment.attach(segment.path, 1, { node: 0, numNodes: 2, workersPerNode: 2 });
  expect(Math.abs(worker.epochMs - segment.epochMs)).toBeLessThan(0.5);
  expect(Math.abs(segment.epochMs + performance.now() - Date.now())).toBeLessThan(1_000);
  worker.close();
});

it('a wait in an operation that the ring has lost changes no later span', () => {
  const ring = new FlightRing(new Int32Array(FLIGHT_WORDS), 0);
  const sizes = { numSends: 1, numReceives: 1, bytesOut: 1, bytesIn: 1 };
  const begin = (sequence: number) =>
    ring.begin({ kind: 'all-gather', purpose: 'counts' }, { ...sizes, sequence, step: 1, startMs: 1 });
  const lost = begin(0);
  for (let sequence = 1; sequence <= FLIGHT_SLOTS; sequence++) begin(sequence);
  ring.wait(lost, 5, 6, 3);
  expect(ring.read().at(-1)).toMatchObject({ sequence: FLIGHT_SLOTS, waitedFor: null, waitEndMs: null });
});
