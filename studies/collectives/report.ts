import { bytesBetweenNodes, type Collective, layoutOf } from '@locmoe/bench/internal/collectives/cases';
import {
  digits,
  type ExchangeRow,
  formatSize,
  STREAM_LABELS,
  SYSTEMS,
  withSpread,
} from '@locmoe/bench/internal/collectives/measurements';
import { COLOURS, type Picture, picturesOf } from '../kit/picture.js';
import type { Report } from '../kit/report.js';
import { table } from '../kit/text.js';
import type { Figures } from './figures.js';

const picture = picturesOf('collectives');
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
  const { headline, exchanges, hierarchy, streams, overlap, notes } = figures;
  return {
    view: {
      notes: notes.map((note) => `- ${note}`).join('\n'),
      headline: table([
        ['what', 'figure'],
        ...headline.map(({ what, values }) => [
          what,
          values.map(({ of, value }) => (of === '' ? known(value) : `${of}: ${known(value)}`)).join(', '),
        ]),
      ]),
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
      picture(
        'hierarchical',
        hierarchy.flatMap(({ bytes, ...forms }) =>
          FORMS.map((form) => ({ form, size: formatSize(bytes), ...forms[form] })),
        ),
      ),
      picture(
        'streams',
        streams
          .filter(({ what }) => what !== 'memcpy')
          .map(({ what, mbPerS }) => ({ stream: STREAM_LABELS[what], ...mbPerS })),
      ),
    ],
  };
}

function known(value: number | null): string {
  return value === null ? 'not measured' : digits(value);
}

/** Returns the empty string without rows, so that the section is left out. */
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
      'layout',
      'bytes a pair',
      'CPU (s/GB)',
      'between nodes (MiB)',
      'segments (MiB)',
      'agents at most (MiB)',
      'at the start (MiB)',
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

function bandwidthChart(
  all: readonly ExchangeRow[],
  collective: 'all-to-all' | 'all-reduce',
): Picture | null {
  const rows = all
    .filter((row) => row.collective === collective)
    .map((row) => ({ ...row, series: seriesOf(row), world: `${row.numRanks} ranks` }));
  const series = Object.keys(SERIES).filter((name) => rows.some((row) => row.series === name));
  const bytes = collective === 'all-reduce' ? 'bytes of the vector' : 'bytes a pair';
  return picture(collective, rows, { series, colours: series.map((name) => SERIES[name]), bytes });
}
