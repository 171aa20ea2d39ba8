import { keptReasons, table } from '../markdown.js';
import type { Chart } from '../picture.js';
import { bytesBetweenNodes, type Collective, layoutOf } from './cases.js';
import { cpuSPerGb, HEADLINE_SOURCES, type Headline } from './headline.js';
import { type ExchangeRow, type Measurements, SYSTEMS } from './measurements.js';
import { digits, formatSize, STREAM_LABELS, withSpread } from './words.js';

export interface Report {
  readonly measured: Measurements;
  readonly headline: Headline;
  readonly charts: readonly Chart[];
}

/** The report as Markdown. `previous` is the text of the report to replace; empty for none. */
export function reportMarkdown({ measured, headline, charts }: Report, previous: string): string {
  const { exchanges, hierarchy, notes } = measured;
  return [
    '# Collectives, measured',
    INTRODUCTION,
    notes.map((note) => `- ${note}`).join('\n'),
    '## The figures of `collectives.json`',
    headlineTable(headline),
    keptReasons(previous),
    ...exchangeSections(exchanges, 'all-to-all'),
    ...exchangeSections(exchanges, 'all-reduce'),
    ...agentSections(exchanges),
    ...section('Hierarchical and flat over a slow link', HIERARCHY_TEXT, hierarchyRows(hierarchy)),
    ...section('Exchanges behind the experts', overlapText(measured), overlapRows(measured)),
    ...section('One stream, and its limits', STREAM_TEXT, streamRows(measured)),
    ...(charts.length === 0 ? [] : ['## Pictures']),
    ...charts.map(
      ({ name, title, caption }) => `![${title}](collectives-${name}.svg)\n\n*${title}.* ${caption}`,
    ),
    `Made by \`${headline.command}\` on ${headline.machine}.`,
  ]
    .filter((part) => part !== '')
    .join('\n\n')
    .concat('\n');
}

const INTRODUCTION = [
  'Every rank is a process; of ours, every node has a node agent beside its ranks. All run on this one machine: nodes talk over its loopback.',
  'The exchange is the same for all systems: every rank sends the given bytes of float32 to every rank, itself included (all-to-all), or all sum one vector in place',
  '(all-reduce). Each case is verified, warmed up, and repeated back to back; a time is that of one repetition on rank 0, the median with the 10th and the 90th percentile',
  'in brackets. A layout of `2x4` is two nodes of four ranks. Bus bandwidth is what one rank must send over the time: all-to-all (W - 1) B / t with B bytes a pair, all-reduce',
  '2 (W - 1) / W S / t with a vector of S bytes, W ranks. Peers run with the same number of ranks, each in the fastest of the ways to start it that were tried.',
].join('\n');
const AGENT_TEXT =
  "CPU time (user and system) of all agents for each GB that ranks sent to other nodes. Memory: the segments of all nodes, and the agents' own memory, at its most since their start and before the first exchange, against the bytes that one exchange moves between nodes.";
const HIERARCHY_TEXT =
  'All-to-all on 4 nodes of 4 ranks; each stream between two nodes is limited in software to 1 Gb/s and 1 ms (`cluster.interNodeLink`).';
const STREAM_TEXT =
  'One way between two processes on the loopback, in pieces of 32 MiB; copying is between two buffers of that size in one process. Ours includes filling and decoding frames and the credit that goes back.';

function headlineTable(headline: Headline): string {
  return table([
    ['figure', 'value', 'what it is'],
    ...HEADLINE_SOURCES.map(([figure, source]) => {
      const value = figure
        .split('.')
        .reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], headline);
      return [`\`${figure}\``, headlineValue(value), source];
    }),
  ]);
}

function headlineValue(value: unknown): string {
  if (value === null) return 'not measured';
  if (typeof value === 'number') return digits(value);
  return Object.entries(value as object)
    .map(([bytes, each]) => `${formatSize(Number(bytes))}: ${headlineValue(each)}`)
    .join(', ');
}

function section(title: string, text: string, rows: readonly (readonly string[])[]): string[] {
  return rows.length < 2 ? [] : [`## ${title}`, text, table(rows)];
}

function exchangeSections(all: readonly ExchangeRow[], collective: Collective): string[] {
  const rows = all
    .filter((row) => row.collective === collective)
    .sort(
      (a, b) =>
        a.numRanks - b.numRanks || a.bytes - b.bytes || SYSTEMS.indexOf(a.system) - SYSTEMS.indexOf(b.system),
    );
  return section(
    collective === 'all-reduce' ? 'All-reduce' : 'All-to-all',
    collective === 'all-reduce' ? 'Bytes are those of the vector.' : 'Bytes are those of a pair of ranks.',
    [
      ['system', 'ranks', 'bytes', 'ms', 'bus (GB/s)', 'repetitions', 'started with'],
      ...rows.map((row) => [
        row.system === 'locmoe' ? `**locmoe ${row.layout}**` : row.system,
        String(row.numRanks),
        formatSize(row.bytes),
        withSpread(row.ms),
        digits(row.busGbPerS),
        String(row.repetitions),
        row.setting === null ? '' : row.setting === '' ? 'its defaults' : `\`${row.setting}\``,
      ]),
    ],
  );
}

function agentSections(all: readonly ExchangeRow[]): string[] {
  const rows = all.filter(
    (row) => row.collective === 'all-to-all' && row.agents !== null && layoutOf(row.layout).numNodes > 1,
  );
  const mib = (bytes: number) => digits(bytes / 2 ** 20);
  return section('What the agents take', AGENT_TEXT, [
    [
      ...['layout', 'bytes a pair', 'CPU (s/GB)', 'between nodes (MiB)', 'segments (MiB)'],
      ...['agents at most (MiB)', 'at the start (MiB)'],
    ],
    ...rows.map((row) => [
      row.layout,
      formatSize(row.bytes),
      digits(cpuSPerGb(row) ?? Number.NaN),
      mib(bytesBetweenNodes(layoutOf(row.layout), row.bytes)),
      ...[row.agents!.segmentBytes, row.agents!.peakBytes, row.agents!.startBytes].map(mib),
    ]),
  ]);
}

function hierarchyRows(rows: readonly ExchangeRow[]): string[][] {
  const formOf = (bytes: number, collective: Collective) =>
    rows.find((row) => row.bytes === bytes && row.collective === collective);
  const sizes = [...new Set(rows.map(({ bytes }) => bytes))];
  return [
    ['bytes a pair', 'flat (ms)', 'hierarchical (ms)', 'flat / hierarchical'],
    ...sizes.map((bytes) => {
      const [flat, hierarchical] = [formOf(bytes, 'flat all-to-all')!, formOf(bytes, 'all-to-all')!];
      return [
        ...[formatSize(bytes), withSpread(flat.ms), withSpread(hierarchical.ms)],
        digits(flat.ms.median / hierarchical.ms.median),
      ];
    }),
  ];
}

function overlapText({ overlap }: Measurements): string {
  return `Forward and backward of a sparse layer on 2 nodes of 2 ranks, all of the same size; the streams between the nodes are limited to ${overlap[0]?.gbps} Gb/s, at which the four trips of the rows would take as long as the experts alone. All give the same bits.`;
}

function overlapRows({ overlap }: Measurements): string[][] {
  return [['', 'ms'], ...overlap.map(({ what, ms }) => [what, withSpread(ms)])];
}

function streamRows({ streams }: Measurements): string[][] {
  return [
    ['', 'MB/s', 'pieces'],
    ...streams.map(({ what, mbPerS, repetitions }) => [
      STREAM_LABELS[what],
      withSpread(mbPerS),
      String(repetitions),
    ]),
  ];
}
