import type { TimelineSpan } from '@locmoe/run-format';
import { expect, it } from 'vitest';
import { chromeTrace, type TraceEvent } from '../../src/cli/chrome-trace.js';

const part = (name: string, startMs: number, endMs: number, layer?: number): TimelineSpan => ({
  kind: 'part',
  name,
  layer,
  step: 3,
  startMs: 1e12 + startMs,
  endMs: 1e12 + endMs,
  isOpen: false,
  operation: null,
});

const exchange = (startMs: number, endMs: number, waitFrom: number | null): TimelineSpan => ({
  kind: 'all-to-all',
  name: 'dispatch',
  layer: 2,
  step: 3,
  isOpen: false,
  startMs: 1e12 + startMs,
  endMs: 1e12 + endMs,
  operation: {
    sequence: 9,
    bytesOut: 64,
    bytesIn: 32,
    wait:
      waitFrom === null
        ? null
        : { startMs: 1e12 + waitFrom, endMs: 1e12 + endMs - 1, rank: 1, rankStartMs: 1e12 + 4 },
  },
});

it('says what is not known, and draws no arrow from what began after the wait', () => {
  const [late, open] = [exchange(1, 4, 2), { ...part('experts', 0, 1.0003), isOpen: true }];
  const { traceEvents, otherData } = chromeTrace({
    runId: 'r',
    generation: 1,
    numNodes: 2,
    workersPerNode: 1,
    lanes: [
      { rank: 0, node: 0, spans: [open, late], inFlight: [] },
      { rank: 1, node: 1, spans: [part('experts', 0, 3)], inFlight: [] },
    ],
    clocks: [{ node: 1, offsetMs: 0, uncertaintyMs: null }],
  });
  expect(otherData['clock of node 1']).toBe('0.000 ms corrected, uncertainty not known');
  expect(traceEvents.filter(({ ph }) => ph === 's' || ph === 'f')).toEqual([]);
  // Durations are rounded to quarters of a microsecond.
  expect(traceEvents).toContainEqual(
    expect.objectContaining({ dur: 1_000.25, args: { step: 3, unfinished: true } }),
  );
});

it('is what the Trace Event Format asks for', () => {
  const { traceEvents, otherData, displayTimeUnit } = chromeTrace({
    runId: 'r',
    generation: 1,
    numNodes: 2,
    workersPerNode: 1,
    lanes: [
      { rank: 0, node: 0, spans: [part('step', 0, 10), exchange(1, 7, 2)], inFlight: [] },
      {
        rank: 1,
        node: 1,
        spans: [part('experts', 0.5, 3, 2), exchange(4, 6, null)],
        inFlight: [exchange(4, 6, null), exchange(5, 8, null), exchange(7, 9, null)],
      },
    ],
    clocks: [
      { node: 0, offsetMs: 0, uncertaintyMs: 0 },
      { node: 1, offsetMs: 1.5, uncertaintyMs: 0.25 },
    ],
  });
  expect(displayTimeUnit).toBe('ms');
  expect(otherData).toMatchObject({ run: 'r', 'clock of node 1': '1.500 ms corrected, within 0.250 ms' });
  for (const event of traceEvents) {
    expect(event).toMatchObject({
      name: expect.any(String),
      pid: expect.any(Number),
      tid: expect.any(Number),
    });
    expect('MXsf').toContain(event.ph);
    if (event.ph !== 'M') expect(event.ts).toBeGreaterThanOrEqual(0);
  }
  const named = (event: string) =>
    traceEvents.flatMap((each) =>
      each.ph === 'M' && each.name === event ? [[each.pid, each.tid, each.args.name]] : [],
    );
  expect(named('process_name')).toEqual([
    [1, 0, 'node 0'],
    [2, 0, 'node 1'],
  ]);
  // What overlaps gets a row of its own; what does not shares one.
  expect(named('thread_name')).toEqual([
    [1, 1, 'rank 0'],
    [2, 2, 'rank 1'],
    [2, 100_100, 'rank 1 in flight'],
    [2, 100_101, 'rank 1 in flight'],
  ]);
  const slices = traceEvents.filter((event): event is Extract<TraceEvent, { ph: 'X' }> => event.ph === 'X');
  expect(slices.filter(({ tid }) => tid === 1)).toEqual([
    { ph: 'X', pid: 1, tid: 1, name: 'step 3', cat: 'compute', ts: 0, dur: 10_000, args: { step: 3 } },
    {
      ph: 'X',
      pid: 1,
      tid: 1,
      name: 'all-to-all dispatch',
      cat: 'collective',
      ts: 1_000,
      dur: 6_000,
      args: { step: 3, layer: 2, sequence: 9, bytesOut: 64, bytesIn: 32, waitMs: 4, waitedFor: 1 },
    },
    { ph: 'X', pid: 1, tid: 1, name: 'wait', cat: 'wait', ts: 2_000, dur: 4_000, args: { waitedFor: 1 } },
  ]);
  expect(slices.filter(({ tid }) => tid >= 100_000).map(({ tid, ts }) => [tid, ts])).toEqual([
    [100_100, 4_000],
    [100_100, 7_000],
    [100_101, 5_000],
  ]);
  // The arrow goes from where the awaited rank began the operation to the end of the wait.
  expect(traceEvents.filter(({ ph }) => ph === 's' || ph === 'f')).toEqual([
    { ph: 's', pid: 2, tid: 2, name: 'waited for', cat: 'waited for', id: 1, ts: 4_000 },
    { ph: 'f', bp: 'e', pid: 1, tid: 1, name: 'waited for', cat: 'waited for', id: 1, ts: 6_000 },
  ]);
});
