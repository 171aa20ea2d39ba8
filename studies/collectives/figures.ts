import type { Collective } from '../../packages/bench/src/collectives/cases.js';
import { hiddenShare } from '../../packages/bench/src/collectives/measure-overlap.js';
import type {
  ExchangeRow,
  Measurements,
  Spread,
  StreamName,
  System,
} from '../../packages/bench/src/collectives/measurements.js';

/** Ratios above 1 mean that ours is faster; null where a side was not measured. report.md says what each is. */
export interface Figures extends Omit<Measurements, 'hierarchy'> {
  /** Times of both forms of the all-to-all over the slow link. */
  readonly hierarchy: readonly {
    readonly bytes: number;
    readonly flat: Spread;
    readonly hierarchical: Spread;
  }[];
  readonly inNode: {
    /** Ratios by bytes per pair, 1x4 against 4 ranks. */
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
}

/** Sizes in bytes: typical of token exchanges and of gradients. */
export const HEADLINE_BYTES: Readonly<Record<'all-to-all' | 'all-reduce', readonly number[]>> = {
  'all-to-all': [1 << 18, 1 << 20, 1 << 22],
  'all-reduce': [1 << 22, 1 << 24, 1 << 26],
};
const [IN_NODE, BETWEEN_NODES] = ['1x4', '2x2'];

type Key = Pick<ExchangeRow, 'system' | 'collective' | 'layout'>;

export function figuresOf(measured: Measurements): Figures {
  const { exchanges, streams, overlap } = measured;
  const find = ({ system, collective, layout }: Key, bytes: number) =>
    exchanges.find(
      (row) =>
        row.system === system &&
        row.collective === collective &&
        row.layout === layout &&
        row.bytes === bytes,
    );
  const msOf = (system: System, collective: Collective, layout: string, bytes: number) =>
    find({ system, collective, layout }, bytes)?.ms.median ?? null;
  const against = (system: System, collective: keyof typeof HEADLINE_BYTES, layout: string) =>
    HEADLINE_BYTES[collective].map((bytes) =>
      ratio(msOf(system, collective, '4 ranks', bytes), msOf('locmoe', collective, layout, bytes)),
    );
  const allToAll = against('OpenMPI, shared memory', 'all-to-all', IN_NODE);
  const speedOf = (name: StreamName) => streams.find(({ what }) => what === name)?.mbPerS.median ?? null;
  const http2 = Math.max(speedOf('http2-4') ?? 0, speedOf('http2-16') ?? 0) || null;
  const hierarchy = measured.hierarchy.flatMap(({ collective, bytes, ms }) => {
    const flat = measured.hierarchy.find(
      (row) => row.collective === 'flat all-to-all' && row.bytes === bytes,
    );
    return collective === 'all-to-all' && flat !== undefined
      ? [{ bytes, flat: flat.ms, hierarchical: ms }]
      : [];
  });
  // One agent with several workers, as in training.
  const agents = find({ system: 'locmoe', collective: 'all-to-all', layout: '2x2' }, 1 << 20);
  return {
    inNode: {
      allToAllVsOpenmpi: Object.fromEntries(
        HEADLINE_BYTES['all-to-all'].map((bytes, i) => [bytes, rounded(allToAll[i]!)]),
      ),
      allReduceVsGloo: rounded(geometricMean(against('Gloo', 'all-reduce', IN_NODE))),
      allReduceVsOpenmpi: rounded(geometricMean(against('OpenMPI, shared memory', 'all-reduce', IN_NODE))),
    },
    betweenNodes: {
      streamVsHttp2: rounded(ratio(speedOf('grpc'), http2)),
      allToAllVsGloo: rounded(geometricMean(against('Gloo', 'all-to-all', BETWEEN_NODES))),
    },
    hierarchicalVsFlat: rounded(
      geometricMean(hierarchy.map(({ flat, hierarchical }) => flat.median / hierarchical.median)),
    ),
    overlapHidden: rounded(hiddenShare(overlap)),
    agentCpuSPerGB: rounded(agents?.agents?.cpuSPerGb ?? null),
    ...measured,
    hierarchy,
  };
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
