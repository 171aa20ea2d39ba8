import type { Collective } from './cases.js';
import { hiddenShare } from './measure-overlap.js';
import type { ExchangeRow, Measurements, StreamName, System } from './measurements.js';

/**
 * The file `collectives.json`. Ratios above 1 mean that ours is faster; null where a side was not measured.
 */
export interface Headline {
  readonly inNode: {
    /** By bytes per pair; 1x4 against 4 ranks. */
    readonly allToAllVsOpenmpi: Readonly<Record<string, number | null>>;
    readonly allReduceVsGloo: number | null;
    readonly allReduceVsOpenmpi: number | null;
  };
  readonly betweenNodes: {
    readonly streamVsHttp2: number | null;
    readonly allToAllVsGloo: number | null;
  };
  readonly hierarchicalVsFlat: number | null;
  readonly overlapHidden: number | null;
  readonly agentCpuSPerGB: number | null;
  readonly machine: string;
  readonly command: string;
}

/** Sizes in bytes for the headline: typical of token exchanges and of gradients. */
export const HEADLINE_BYTES: Readonly<Record<'all-to-all' | 'all-reduce', readonly number[]>> = {
  'all-to-all': [1 << 18, 1 << 20, 1 << 22],
  'all-reduce': [1 << 22, 1 << 24, 1 << 26],
};
const [IN_NODE, BETWEEN_NODES] = ['1x4', '2x2'];
/** One agent with several workers, as in training. */
const AGENTS = { layout: '2x2', bytes: 1_048_576 } as const;

/** Definition of each headline figure, for readers. */
export const HEADLINE_SOURCES: readonly (readonly [figure: string, source: string])[] = [
  [
    'inNode.allToAllVsOpenmpi',
    'time of OpenMPI over shared memory on 4 ranks / ours on 1x4, by bytes a pair',
  ],
  ['inNode.allReduceVsGloo', 'Gloo on 4 ranks / ours on 1x4; geometric mean of vectors of 4, 16 and 64 MiB'],
  ['inNode.allReduceVsOpenmpi', 'OpenMPI over shared memory on 4 ranks / ours on 1x4; the same mean'],
  ['betweenNodes.streamVsHttp2', 'speed of our stream / the faster of the two raw HTTP/2 streams'],
  [
    'betweenNodes.allToAllVsGloo',
    'Gloo on 4 ranks / ours on 2x2; geometric mean of 256 KiB, 1 and 4 MiB a pair',
  ],
  [
    'hierarchicalVsFlat',
    'time of the flat / of the hierarchical all-to-all over the slow link; geometric mean of its sizes',
  ],
  [
    'overlapHidden',
    "share of a sparse layer's exchanges that the experts hide on 2x2, where both take about as long; of the better degree",
  ],
  [
    'agentCpuSPerGB',
    'CPU seconds of both agents for each GB between nodes, all-to-all of 1 MiB a pair on 2x2',
  ],
];

interface Key {
  readonly system: System;
  readonly collective: Collective;
  readonly layout: string;
}

export function headlineOf(
  measured: Measurements,
  { machine, command }: { readonly machine: string; readonly command: string },
): Headline {
  const timeOf = (key: Key, bytes: number) => find(measured.exchanges, key, bytes)?.ms.median ?? null;
  const against = (system: System, collective: keyof typeof HEADLINE_BYTES, layout: string) =>
    HEADLINE_BYTES[collective].map((bytes) =>
      ratio(
        timeOf({ system, collective, layout: '4 ranks' }, bytes),
        timeOf({ system: 'locmoe', collective, layout }, bytes),
      ),
    );
  const allToAll = against('OpenMPI, shared memory', 'all-to-all', IN_NODE);
  return {
    inNode: {
      allToAllVsOpenmpi: Object.fromEntries(
        HEADLINE_BYTES['all-to-all'].map((bytes, i) => [bytes, rounded(allToAll[i]!)]),
      ),
      allReduceVsGloo: rounded(geometricMean(against('Gloo', 'all-reduce', IN_NODE))),
      allReduceVsOpenmpi: rounded(geometricMean(against('OpenMPI, shared memory', 'all-reduce', IN_NODE))),
    },
    betweenNodes: {
      streamVsHttp2: rounded(streamVsHttp2(measured)),
      allToAllVsGloo: rounded(geometricMean(against('Gloo', 'all-to-all', BETWEEN_NODES))),
    },
    hierarchicalVsFlat: rounded(hierarchicalVsFlat(measured.hierarchy)),
    overlapHidden: rounded(hiddenShare(measured.overlap)),
    agentCpuSPerGB: rounded(agentCpuSPerGB(measured.exchanges)),
    machine,
    command,
  };
}

/** CPU seconds of all agents per GB moved between nodes; null if none was moved. */
export function cpuSPerGb({ agents }: ExchangeRow): number | null {
  return agents === null || agents.bytesOtherNode === 0 ? null : agents.cpuS / (agents.bytesOtherNode / 1e9);
}

function agentCpuSPerGB(rows: readonly ExchangeRow[]): number | null {
  const { layout, bytes } = AGENTS;
  const row = find(rows, { system: 'locmoe', collective: 'all-to-all', layout }, bytes);
  return row === undefined ? null : cpuSPerGb(row);
}

function streamVsHttp2({ streams }: Measurements): number | null {
  const speedOf = (name: StreamName) => streams.find(({ what }) => what === name)?.mbPerS.median ?? 0;
  return ratio(speedOf('grpc') || null, Math.max(speedOf('http2-4'), speedOf('http2-16')) || null);
}

function hierarchicalVsFlat(rows: readonly ExchangeRow[]): number | null {
  const hierarchical = rows.filter(({ collective }) => collective === 'all-to-all');
  if (hierarchical.length === 0) return null;
  return geometricMean(
    hierarchical.map((row) => {
      const flat = find(rows, { ...row, collective: 'flat all-to-all' }, row.bytes);
      return ratio(flat?.ms.median ?? null, row.ms.median);
    }),
  );
}

function find(rows: readonly ExchangeRow[], key: Key, bytes: number): ExchangeRow | undefined {
  return rows.find(
    (row) =>
      row.system === key.system &&
      row.collective === key.collective &&
      row.layout === key.layout &&
      row.bytes === bytes,
  );
}

function ratio(over: number | null, under: number | null): number | null {
  return over === null || under === null ? null : over / under;
}

/** Null unless every value is known: a mean over a subset would be another figure. */
export function geometricMean(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  if (known.length === 0 || known.length < values.length) return null;
  return Math.exp(known.reduce((sum, value) => sum + Math.log(value), 0) / known.length);
}

function rounded(value: number | null): number | null {
  return value === null ? null : Number(value.toFixed(4));
}
