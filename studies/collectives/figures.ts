import type { Collective } from '@locmoe/bench/internal/collectives/cases';
import { hiddenShare } from '@locmoe/bench/internal/collectives/measure-overlap';
import {
  formatSize,
  type Measurements,
  type Spread,
  type StreamName,
  type System,
} from '@locmoe/bench/internal/collectives/measurements';

/** A line of the table at the top of the page; ratios above 1 mean that locmoe is faster. */
export interface Headline {
  readonly what: string;
  /** Value of each side; null where it was not measured. */
  readonly values: readonly { readonly of: string; readonly value: number | null }[];
}

export interface Figures extends Omit<Measurements, 'hierarchy'> {
  readonly headline: readonly Headline[];
  /** Times of both forms of the all-to-all over the slow link. */
  readonly hierarchy: readonly {
    readonly bytes: number;
    readonly flat: Spread;
    readonly hierarchical: Spread;
  }[];
}

const KIB = 1 << 10;
const IN_NODE_BYTES = [16 * KIB, 64 * KIB, 256 * KIB, 1 << 20, 1 << 22];
/** Message sizes typical of token exchanges, and of gradients. */
const TOKEN_BYTES = [256 * KIB, 1 << 20, 1 << 22];
const GRADIENT_BYTES = [1 << 22, 1 << 24, 1 << 26];
const BETWEEN_NODES = { '2x2': 4, '4x1': 4, '4x2': 8 };

export function figuresOf(measured: Measurements): Figures {
  const { exchanges, streams, overlap } = measured;
  const find = (system: System, collective: Collective, layout: string, bytes: number) =>
    exchanges.find(
      (row) =>
        row.system === system &&
        row.collective === collective &&
        row.layout === layout &&
        row.bytes === bytes,
    );
  /** Returns the time of a peer relative to that of locmoe. */
  const against = (peer: System, collective: Collective, layout: string, numRanks: number, bytes: number) =>
    ratio(
      find(peer, collective, `${numRanks} ranks`, bytes)?.ms.median,
      find('locmoe', collective, layout, bytes)?.ms.median,
    );
  const bySize = (peer: System, collective: Collective, numRanks: number, sizes: readonly number[]) =>
    sizes.map((bytes) => ({
      of: formatSize(bytes),
      value: against(peer, collective, `1x${numRanks}`, numRanks, bytes),
    }));
  const byLayout = (peer: System) =>
    Object.entries(BETWEEN_NODES).map(([layout, numRanks]) => ({
      of: layout,
      value: geometricMean(TOKEN_BYTES.map((bytes) => against(peer, 'all-to-all', layout, numRanks, bytes))),
    }));
  const one = (value: number | null | undefined) => [{ of: '', value: value ?? null }];
  const speedOf = (name: StreamName) => streams.find(({ what }) => what === name)?.mbPerS.median;
  const http2 = Math.max(speedOf('http2-4') ?? 0, speedOf('http2-16') ?? 0) || undefined;
  const hierarchy = measured.hierarchy.flatMap(({ collective, bytes, ms }) => {
    const flat = measured.hierarchy.find(
      (row) => row.collective === 'flat all-to-all' && row.bytes === bytes,
    );
    return collective === 'all-to-all' && flat !== undefined
      ? [{ bytes, flat: flat.ms, hierarchical: ms }]
      : [];
  });
  const headline: Headline[] = [
    ...[2, 4].map((numRanks) => ({
      what: `all-to-all inside a node, 1x${numRanks} against OpenMPI over shared memory, by bytes a pair`,
      values: bySize('OpenMPI, shared memory', 'all-to-all', numRanks, IN_NODE_BYTES),
    })),
    ...(['OpenMPI, shared memory', 'Gloo'] as const).map((peer) => ({
      what: `all-reduce inside a node, 1x4 against ${peer}, by bytes`,
      values: bySize(peer, 'all-reduce', 4, GRADIENT_BYTES),
    })),
    ...(['Gloo', 'OpenMPI, TCP'] as const).map((peer) => ({
      what: `all-to-all between nodes against ${peer}, geometric mean of 256 KiB, 1 and 4 MiB a pair, by layout`,
      values: byLayout(peer),
    })),
    {
      what: 'speed of one stream against the faster raw HTTP/2 stream',
      values: one(ratio(speedOf('grpc'), http2)),
    },
    {
      what: 'the same against a raw socket that reads into one buffer',
      values: one(ratio(speedOf('grpc'), speedOf('tcp-onread'))),
    },
    {
      what: 'speed of the stream over mutual TLS against the plain one',
      values: one(ratio(speedOf('grpc-tls'), speedOf('grpc'))),
    },
    {
      what: 'CPU seconds of both agents for each GB between nodes, all-to-all of 1 MiB a pair on 2x2',
      values: one(find('locmoe', 'all-to-all', '2x2', 1 << 20)?.agents?.cpuSPerGb),
    },
    {
      what: 'time of the flat against the hierarchical all-to-all over the slow link, geometric mean of its sizes',
      values: one(
        geometricMean(hierarchy.map(({ flat, hierarchical }) => flat.median / hierarchical.median)),
      ),
    },
    {
      what: "share of a sparse layer's exchanges that the experts hide on 2x2, where both take about as long, of the better degree",
      values: one(hiddenShare(overlap)),
    },
  ];
  return {
    headline: headline.map(({ what, values }) => ({
      what,
      values: values.map(({ of, value }) => ({ of, value: rounded(value) })),
    })),
    exchanges,
    streams,
    overlap,
    notes: measured.notes,
    hierarchy,
  };
}

function ratio(over: number | undefined, under: number | undefined): number | null {
  return over === undefined || under === undefined ? null : over / under;
}

/** Returns null unless every value is known: the mean of a subset would be another figure. */
export function geometricMean(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  if (known.length === 0 || known.length < values.length) return null;
  return Math.exp(known.reduce((sum, value) => sum + Math.log(value), 0) / known.length);
}

function rounded(value: number | null): number | null {
  return value === null ? null : Number(value.toFixed(4));
}
