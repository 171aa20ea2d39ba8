import { bytesBetweenNodes, type Collective, layoutOf } from '../../packages/bench/src/collectives/cases.js';
import { type ExchangeRow, SYSTEMS } from '../../packages/bench/src/collectives/measurements.js';
import { digits, formatSize, STREAM_LABELS, withSpread } from '../../packages/bench/src/collectives/words.js';
import { type ChartBody, COLOURS, type Picture, picture } from '../kit/picture.js';
import type { Report } from '../kit/report.js';
import { table } from '../kit/text.js';
import type { Figures } from './figures.js';

const SERIES: Readonly<Record<string, string>> = {
  'locmoe, one node': COLOURS.blue,
  'locmoe, nodes of 2 ranks': COLOURS.green,
  'locmoe, nodes of 1 rank': COLOURS.sky,
  'OpenMPI, shared memory': COLOURS.vermilion,
  'OpenMPI, TCP': COLOURS.orange,
  Gloo: COLOURS.purple,
};
const FORMS = ['flat', 'hierarchical'] as const;

export function reportOf(figures: Figures): Report {
  const { exchanges, hierarchy, streams, overlap, notes, inNode, betweenNodes } = figures;
  return {
    view: {
      notes: notes.map((note) => `- ${note}`).join('\n'),
      allToAllVsOpenmpi: Object.entries(inNode.allToAllVsOpenmpi)
        .map(([bytes, each]) => `${formatSize(Number(bytes))}: ${known(each)}`)
        .join(', '),
      allReduceVsGloo: known(inNode.allReduceVsGloo),
      allReduceVsOpenmpi: known(inNode.allReduceVsOpenmpi),
      streamVsHttp2: known(betweenNodes.streamVsHttp2),
      allToAllVsGloo: known(betweenNodes.allToAllVsGloo),
      hierarchicalVsFlat: known(figures.hierarchicalVsFlat),
      overlapHidden: known(figures.overlapHidden),
      agentCpuSPerGB: known(figures.agentCpuSPerGB),
      allToAll: exchangeTable(exchanges, 'all-to-all'),
      allReduce: exchangeTable(exchanges, 'all-reduce'),
      agents: agentTable(exchanges),
      hierarchy: hierarchyTable(hierarchy),
      gbps: overlap[0]?.gbps ?? 0,
      overlap: tableOf(
        ['', 'ms'],
        overlap.map(({ what, ms }) => [what, withSpread(ms)]),
      ),
      streams: tableOf(
        ['', 'MB/s', 'pieces'],
        streams.map(({ what, mbPerS, repetitions }) => [
          STREAM_LABELS[what],
          withSpread(mbPerS),
          String(repetitions),
        ]),
      ),
    },
    pictures: [
      bandwidthChart(exchanges, 'all-to-all'),
      bandwidthChart(exchanges, 'all-reduce'),
      hierarchyChart(hierarchy),
      streamChart(figures),
    ].flatMap((chart) => chart ?? []),
  };
}

function known(value: number | null): string {
  return value === null ? 'not measured' : digits(value);
}

/** Empty without rows, so that its section is left out. */
function tableOf(header: readonly string[], body: readonly (readonly string[])[]): string {
  return body.length === 0 ? '' : table([header, ...body]);
}

function exchangeTable(all: readonly ExchangeRow[], collective: Collective): string {
  const shown = all
    .filter((row) => row.collective === collective)
    .sort(
      (a, b) =>
        a.numRanks - b.numRanks || a.bytes - b.bytes || SYSTEMS.indexOf(a.system) - SYSTEMS.indexOf(b.system),
    );
  return tableOf(
    ['system', 'ranks', 'bytes', 'ms', 'bus (GB/s)', 'repetitions', 'started with'],
    shown.map((row) => [
      row.system === 'locmoe' ? `**locmoe ${row.layout}**` : row.system,
      String(row.numRanks),
      formatSize(row.bytes),
      withSpread(row.ms),
      digits(row.busGbPerS),
      String(row.repetitions),
      row.setting === null ? '' : row.setting === '' ? 'its defaults' : `\`${row.setting}\``,
    ]),
  );
}

function agentTable(all: readonly ExchangeRow[]): string {
  const mib = (bytes: number) => digits(bytes / 2 ** 20);
  return tableOf(
    [
      ...['layout', 'bytes a pair', 'CPU (s/GB)', 'between nodes (MiB)', 'segments (MiB)'],
      ...['agents at most (MiB)', 'at the start (MiB)'],
    ],
    all.flatMap(({ collective, layout, bytes, agents }) =>
      collective !== 'all-to-all' || agents === null || layoutOf(layout).numNodes === 1
        ? []
        : [
            [
              layout,
              formatSize(bytes),
              digits(agents.cpuSPerGb ?? Number.NaN),
              mib(bytesBetweenNodes(layoutOf(layout), bytes)),
              ...[agents.segmentBytes, agents.peakBytes, agents.startBytes].map(mib),
            ],
          ],
    ),
  );
}

function hierarchyTable(all: Figures['hierarchy']): string {
  return tableOf(
    ['bytes a pair', 'flat (ms)', 'hierarchical (ms)', 'flat / hierarchical'],
    all.map(({ bytes, flat, hierarchical }) => [
      formatSize(bytes),
      withSpread(flat),
      withSpread(hierarchical),
      digits(flat.median / hierarchical.median),
    ]),
  );
}

function seriesOf({ system, layout }: ExchangeRow): string {
  if (system !== 'locmoe') return system;
  const { numNodes, workersPerNode } = layoutOf(layout);
  if (numNodes === 1) return 'locmoe, one node';
  return `locmoe, nodes of ${workersPerNode} rank${workersPerNode === 1 ? '' : 's'}`;
}

function bandwidthChart(all: readonly ExchangeRow[], collective: Collective): Picture | null {
  const rows = all
    .filter((row) => row.collective === collective)
    .map((row) => ({ ...row, series: seriesOf(row), world: `${row.numRanks} ranks` }));
  const shown = Object.keys(SERIES).filter((series) => rows.some((row) => row.series === series));
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
            scale: { domain: shown, range: shown.map((series) => SERIES[series]) },
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

function hierarchyChart(all: Figures['hierarchy']): Picture | null {
  const rows = all.flatMap(({ bytes, ...forms }) =>
    FORMS.map((form) => ({ form, size: formatSize(bytes), ...forms[form] })),
  );
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
              scale: { domain: ['hierarchical', 'flat'], range: [COLOURS.blue, COLOURS.orange] },
              legend: { symbolType: 'square' },
            },
          },
        },
        spreadRule({ y: { field: 'p10', type: 'quantitative' }, y2: { field: 'p90' } }),
      ],
    },
  );
}

function streamChart({ streams }: Figures): Picture | null {
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
            color: { value: COLOURS.blue },
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
