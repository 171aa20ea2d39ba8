import type { Collective } from '@locmoe/bench/internal/collectives/cases';
import {
  type ExchangeRow,
  type Measurements,
  type StreamName,
  type StreamRow,
  type System,
  spreadOf,
} from '@locmoe/bench/internal/collectives/measurements';
import { describe, expect, it } from 'vitest';
import { figuresOf, geometricMean } from '../collectives/figures.js';

/** A measurement with an invented time. */
function row(system: System, collective: Collective, layout: string, bytes: number, ms: number): ExchangeRow {
  const numRanks = layout.includes('x')
    ? layout.split('x').reduce((all, each) => all * Number(each), 1)
    : Number.parseInt(layout, 10);
  return {
    system,
    collective,
    layout,
    bytes,
    numRanks,
    ms: { median: ms, p10: ms * 0.9, p90: ms * 1.1 },
    repetitions: 10,
    busGbPerS: 1,
    setting: system === 'locmoe' ? null : '--bind-to none',
    agents:
      system === 'locmoe'
        ? {
            cpuSPerGb: 0.5,
            peakBytes: 200 << 20,
            startBytes: 80 << 20,
            segmentBytes: 8 << 20,
          }
        : null,
  };
}

function stream(what: StreamName, mbPerS: number): StreamRow {
  return { what, mbPerS: { median: mbPerS, p10: mbPerS, p90: mbPerS }, repetitions: 8 };
}

const NOTHING: Measurements = {
  exchanges: [],
  hierarchy: [],
  streams: [],
  overlap: [],
  notes: [],
};

const MEASURED: Measurements = {
  ...NOTHING,
  exchanges: [
    ...[18, 20, 22].flatMap((power, i) => [
      row('locmoe', 'all-to-all', '1x4', 2 ** power, 2),
      row('OpenMPI, shared memory', 'all-to-all', '4 ranks', 2 ** power, [1, 2, 4][i]!),
      row('locmoe', 'all-to-all', '2x2', 2 ** power, 4),
      row('locmoe', 'all-to-all', '4x1', 2 ** power, 5),
      row('Gloo', 'all-to-all', '4 ranks', 2 ** power, 6),
    ]),
    ...[22, 24, 26].flatMap((power, i) => [
      row('locmoe', 'all-reduce', '1x4', 2 ** power, 10),
      row('OpenMPI, shared memory', 'all-reduce', '4 ranks', 2 ** power, 15),
      row('Gloo', 'all-reduce', '4 ranks', 2 ** power, [10, 20, 40][i]!),
    ]),
  ],
  hierarchy: [1024, 4096].flatMap((bytes, i) => [
    row('locmoe', 'flat all-to-all', '4x4', bytes, [4, 9][i]!),
    row('locmoe', 'all-to-all', '4x4', bytes, [1, 1][i]!),
  ]),
  streams: [
    stream('memcpy', 9000),
    stream('tcp-onread', 3000),
    stream('http2-4', 800),
    stream('http2-16', 1000),
    stream('grpc', 2100),
    stream('grpc-tls', 1050),
  ],
  overlap: [
    ['experts alone', 10],
    ['one after the other', 20],
    ['degree 2', 14],
    ['degree 4', 12.5],
  ].map(([what, ms]) => ({ what: what as string, ms: spreadOf([ms as number]), gbps: 0.5 })),
  notes: ['gloo: PyTorch 2.6'],
};

describe('collectives.json', () => {
  const valuesOf = (measured: Measurements) =>
    figuresOf(measured).headline.map(({ values }) => values.map(({ value }) => value));

  it('has ratios above 1 where ours is faster', () => {
    expect(valuesOf(MEASURED)).toEqual([
      [null, null, null, null, null],
      [null, null, 0.5, 1, 2],
      [1.5, 1.5, 1.5],
      [1, 2, 4],
      [1.5, 1.2, null],
      [null, null, null],
      [2.1],
      [0.7],
      [0.5],
      [0.5],
      [6],
      [0.75],
    ]);
  });

  it('has the same lines with nothing measured, and no figure', () => {
    expect(valuesOf(NOTHING)).toEqual(valuesOf(MEASURED).map((values) => values.map(() => null)));
  });
});

it('has a geometric mean only if all are known', () => {
  expect(geometricMean([2, 8])).toBeCloseTo(4);
  expect(geometricMean([2, null])).toBeNull();
  expect(geometricMean([])).toBeNull();
});
