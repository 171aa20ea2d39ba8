import { type Chart, type ChartBody, picture } from '../picture.js';
import { type Collective, layoutOf } from './cases.js';
import type { ExchangeRow, Measurements } from './measurements.js';
import { formatSize, STREAM_LABELS } from './words.js';

/** Colour-blind safe palette (Okabe and Ito). */
const COLOURS: Readonly<Record<string, string>> = {
  'locmoe, one node': '#0072b2',
  'locmoe, nodes of 2 ranks': '#009e73',
  'locmoe, nodes of 1 rank': '#56b4e9',
  'OpenMPI, shared memory': '#d55e00',
  'OpenMPI, TCP': '#e69f00',
  Gloo: '#cc79a7',
};
const FORMS = { 'all-to-all': 'hierarchical', 'flat all-to-all': 'flat' } as const;

/** The charts that have data. */
export function drawCharts(measured: Measurements): Chart[] {
  return [
    bandwidthChart(measured.exchanges, 'all-to-all'),
    bandwidthChart(measured.exchanges, 'all-reduce'),
    hierarchyChart(measured.hierarchy),
    streamChart(measured),
  ].flatMap((chart) => chart ?? []);
}

function seriesOf({ system, layout }: ExchangeRow): string {
  if (system !== 'locmoe') return system;
  const { numNodes, workersPerNode } = layoutOf(layout);
  if (numNodes === 1) return 'locmoe, one node';
  return `locmoe, nodes of ${workersPerNode} rank${workersPerNode === 1 ? '' : 's'}`;
}

function bandwidthChart(all: readonly ExchangeRow[], collective: Collective): Chart | null {
  const rows = all
    .filter((row) => row.collective === collective)
    .map((row) => ({ ...row, series: seriesOf(row), world: `${row.numRanks} ranks` }));
  const shown = Object.keys(COLOURS).filter((series) => rows.some((row) => row.series === series));
  return picture(
    collective,
    `Bus bandwidth of the ${collective}`,
    ['Bytes that a rank must send over the median time, float32; all ranks are processes of one machine.'],
    rows,
    {
      facet: { field: 'world', type: 'nominal' },
      columns: 3,
      spec: {
        width: 260,
        height: 220,
        mark: { type: 'line', point: true, strokeWidth: 2 },
        encoding: {
          x: sizeAxis(collective === 'all-reduce' ? 'bytes of the vector' : 'bytes a pair'),
          y: {
            field: 'busGbPerS',
            type: 'quantitative',
            title: 'GB/s a rank (log scale)',
            scale: { type: 'log', nice: false },
          },
          color: {
            field: 'series',
            type: 'nominal',
            title: null,
            scale: { domain: shown, range: shown.map((series) => COLOURS[series]) },
            legend: { orient: 'bottom', columns: 3 },
          },
        },
      },
    },
  );
}

function sizeAxis(title: string): ChartBody {
  return {
    field: 'bytes',
    type: 'quantitative',
    title,
    scale: { type: 'log', base: 2, nice: false },
    axis: { labelExpr: SIZE_LABEL, tickCount: 6 },
  };
}

/** `formatSize` as a Vega expression. */
const SIZE_LABEL =
  "datum.value >= 1048576 ? format(datum.value / 1048576, 'd') + ' MiB' : format(datum.value / 1024, 'd') + ' KiB'";

function hierarchyChart(all: readonly ExchangeRow[]): Chart | null {
  const rows = all.map(({ collective, bytes, ms }) => ({
    form: FORMS[collective as keyof typeof FORMS],
    size: formatSize(bytes),
    ...ms,
  }));
  const place = {
    x: { field: 'size', type: 'nominal', title: 'bytes a pair', sort: null, axis: { labelAngle: 0 } },
    xOffset: { field: 'form', type: 'nominal', sort: null },
  };
  return picture(
    'hierarchical',
    'Hierarchical and flat all-to-all over a slow link',
    ['4 nodes of 4 ranks, 1 Gb/s and 1 ms between nodes. Bars: median; lines: 10th to 90th percentile.'],
    rows,
    {
      width: 420,
      height: 240,
      encoding: place,
      layer: [
        {
          mark: 'bar',
          encoding: {
            y: { field: 'median', type: 'quantitative', title: 'ms' },
            color: {
              field: 'form',
              type: 'nominal',
              title: null,
              scale: { domain: Object.values(FORMS), range: ['#0072b2', '#e69f00'] },
              legend: { symbolType: 'square' },
            },
          },
        },
        spreadRule({ y: { field: 'p10', type: 'quantitative' }, y2: { field: 'p90' } }),
      ],
    },
  );
}

function streamChart({ streams }: Measurements): Chart | null {
  const rows = streams
    .filter(({ what }) => what !== 'memcpy')
    .map(({ what, mbPerS }) => ({ stream: STREAM_LABELS[what], ...mbPerS }));
  const y = { field: 'stream', type: 'nominal', title: null, sort: null, axis: { labelLimit: 320 } };
  return picture(
    'streams',
    'One stream between two processes',
    ['One way on the loopback. Bars: median; lines: 10th to 90th percentile.'],
    rows,
    {
      width: 420,
      height: { step: 28 },
      encoding: { y },
      layer: [
        {
          mark: 'bar',
          encoding: {
            x: { field: 'median', type: 'quantitative', title: 'MB/s' },
            color: { value: '#0072b2' },
          },
        },
        spreadRule({ x: { field: 'p10', type: 'quantitative' }, x2: { field: 'p90' } }),
      ],
    },
  );
}

function spreadRule(encoding: ChartBody): ChartBody {
  return { mark: { type: 'rule', strokeWidth: 1.5 }, encoding: { ...encoding, color: { value: '#333333' } } };
}
