import { describe, expect, it } from 'vitest';
import type { Collective } from '../../packages/bench/src/collectives/cases.js';
import {
  type ExchangeRow,
  type Measurements,
  type StreamName,
  type StreamRow,
  type System,
  spreadOf,
} from '../../packages/bench/src/collectives/measurements.js';
import { figuresOf, geometricMean, HEADLINE_BYTES } from '../collectives/figures.js';
import { pageOf } from './support.js';

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
    ...HEADLINE_BYTES['all-to-all'].flatMap((bytes, i) => [
      row('locmoe', 'all-to-all', '1x4', bytes, 2),
      row('OpenMPI, shared memory', 'all-to-all', '4 ranks', bytes, [1, 2, 4][i]!),
      row('locmoe', 'all-to-all', '2x2', bytes, 4),
      row('locmoe', 'all-to-all', '4x1', bytes, 5),
      row('Gloo', 'all-to-all', '4 ranks', bytes, 6),
    ]),
    ...HEADLINE_BYTES['all-reduce'].flatMap((bytes, i) => [
      row('locmoe', 'all-reduce', '1x4', bytes, 10),
      row('OpenMPI, shared memory', 'all-reduce', '4 ranks', bytes, 15),
      row('Gloo', 'all-reduce', '4 ranks', bytes, [10, 20, 40][i]!),
    ]),
  ],
  hierarchy: [1024, 4096].flatMap((bytes, i) => [
    row('locmoe', 'flat all-to-all', '4x4', bytes, [4, 9][i]!),
    row('locmoe', 'all-to-all', '4x4', bytes, [1, 1][i]!),
  ]),
  streams: [stream('memcpy', 9000), stream('http2-4', 800), stream('http2-16', 1000), stream('grpc', 900)],
  overlap: [
    ['experts alone', 10],
    ['one after the other', 20],
    ['degree 2', 14],
    ['degree 4', 12.5],
  ].map(([what, ms]) => ({ what: what as string, ms: spreadOf([ms as number]), gbps: 0.5 })),
  notes: ['gloo: PyTorch 2.6'],
};

describe('collectives.json', () => {
  it('has ratios above 1 where ours is faster', () => {
    expect(figuresOf(MEASURED)).toMatchObject({
      inNode: {
        allToAllVsOpenmpi: { 262144: 0.5, 1048576: 1, 4194304: 2 },
        allReduceVsGloo: 2,
        allReduceVsOpenmpi: 1.5,
      },
      betweenNodes: { streamVsHttp2: 0.9, allToAllVsGloo: 1.5 },
      hierarchicalVsFlat: 6,
      overlapHidden: 0.75,
      agentCpuSPerGB: 0.5,
    });
  });

  it('has the same keys with nothing measured, and no figure', () => {
    expect(figuresOf(NOTHING)).toMatchObject({
      inNode: {
        allToAllVsOpenmpi: { 262144: null, 1048576: null, 4194304: null },
        allReduceVsGloo: null,
        allReduceVsOpenmpi: null,
      },
      betweenNodes: { streamVsHttp2: null, allToAllVsGloo: null },
      hierarchicalVsFlat: null,
      overlapHidden: null,
      agentCpuSPerGB: null,
    });
  });
});

it('has a geometric mean only if all are known', () => {
  expect(geometricMean([2, 8])).toBeCloseTo(4);
  expect(geometricMean([2, null])).toBeNull();
  expect(geometricMean([])).toBeNull();
});

describe('collectives.md', () => {
  it('shows every system, and how a peer was started', async () => {
    const text = await pageOf('collectives', figuresOf(MEASURED));
    expect(text).toContain('| **locmoe 1x4** | 4 | 256 KiB | 2 (1.8 to 2.2) |');
    expect(text).toMatch(/\| OpenMPI, shared memory \| 4 \| 1 MiB \| 2 .* \| `--bind-to none` \|/);
    expect(text).toContain('| `inNode.allReduceVsGloo` | 2 |');
    expect(text).toContain('| 1 KiB | 4 (3.6 to 4.4) | 1 (0.9 to 1.1) | 4 |');
    expect(text).toContain('| 2x2 | 1 MiB | 0.5 | 8 | 8 | 200 | 80 |');
    expect(text).toContain('- gloo: PyTorch 2.6');
  });

  it('leaves out what was not measured', async () => {
    const text = await pageOf('collectives', figuresOf(NOTHING));
    expect(text).not.toContain('## All-to-all');
    expect(text).not.toContain('## Hierarchical');
    expect(text).not.toContain('## Pictures');
  });
});
