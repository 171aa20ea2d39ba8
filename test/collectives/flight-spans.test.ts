import { afterEach, beforeEach, expect, it } from 'vitest';
import { FlightSpans } from '../../src/collectives/flight-spans.js';
import { ShmSegment } from '../../src/collectives/shm-segment.js';

let segment: ShmSegment;

beforeEach(() => {
  const shape = { node: 0, numNodes: 1, workersPerNode: 1, ringBytes: 4096 };
  segment = ShmSegment.create(`spans-test-${process.pid}`, 1, shape);
});

afterEach(() => {
  segment.unlink();
  segment.close();
});

it('parts of a step nest, and follow each other without a gap', () => {
  const ring = segment.flight(0);
  const spans = new FlightSpans(ring, segment.epochMs);
  spans.step = 5;
  spans.begin('step');
  spans.begin('forward');
  spans.next('attention', 0);
  spans.next('experts', 0);
  spans.end();
  spans.next('optimizer');
  spans.end();
  // An unmatched end has no effect.
  spans.end();
  const found = ring.read();
  expect(found.map(({ purpose, layer, step }) => [purpose, layer, step])).toEqual([
    ['step', undefined, 5],
    ['forward', undefined, 5],
    ['attention', 0, 5],
    ['experts', 0, 5],
    ['optimizer', undefined, 5],
  ]);
  const [step, forward, attention, experts, optimizer] = found;
  expect(attention.endMs).toBe(experts.startMs);
  expect(experts.endMs).toBe(forward.endMs);
  expect(optimizer.endMs).toBe(step.endMs);
  expect(attention.startMs).toBeGreaterThanOrEqual(forward.startMs);
  expect(Math.abs(Number(step.endMs) - Date.now())).toBeLessThan(1_000);
});
