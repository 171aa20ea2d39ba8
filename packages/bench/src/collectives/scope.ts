import { TrainerError } from 'locmoe/internal/errors';
import type { Collective, ExchangeCase, Repetition } from './cases.js';

const KIB = 1 << 10;

/** Scope of the bench, as selected by `--only`. */
export const PARTS = ['layouts', 'hierarchical', 'streams', 'overlap'] as const;
export const LAYOUTS = ['1x2', '1x4', '2x2', '4x1', '4x2'] as const;
const COLLECTIVES = ['all-to-all', 'all-reduce'] as const satisfies readonly Collective[];
export const PEERS = ['openmpi', 'gloo'] as const;

export type Part = (typeof PARTS)[number];
export type LayoutName = (typeof LAYOUTS)[number];
export type PeerName = (typeof PEERS)[number];

const BYTES: Readonly<Record<(typeof COLLECTIVES)[number], readonly number[]>> = {
  'all-to-all': [16, 64, 256, 1024, 4096, 16_384].map((kib) => kib * KIB),
  'all-reduce': [16, 256, 1024, 4096, 16_384, 65_536].map((kib) => kib * KIB),
};
/** Layouts of `--quick`: only those that the headline needs, with minimal repetitions. */
const QUICK_LAYOUTS: readonly LayoutName[] = ['1x4', '2x2'];
const QUICK_BYTES: typeof BYTES = {
  'all-to-all': [16, 256, 1024, 4096].map((kib) => kib * KIB),
  'all-reduce': [16, 4096, 16_384, 65_536].map((kib) => kib * KIB),
};

/** Many ranks and a slow link, where the number of messages matters. */
export const HIERARCHY = {
  layout: { numNodes: 4, workersPerNode: 4 },
  link: { gbps: 1, latencyMs: 1 },
  bytes: [1, 4, 16, 64].map((kib) => kib * KIB),
} as const;

export interface Scope {
  readonly parts: readonly Part[];
  readonly layouts: readonly LayoutName[];
  readonly cases: readonly ExchangeCase[];
  readonly peers: readonly PeerName[];
  readonly repetition: Repetition;
  /** Number of timed stream pieces and of timed passes of a sparse layer. */
  readonly streamPieces: number;
}

export interface ScopeOptions {
  readonly only: readonly string[];
  readonly quick: boolean;
  readonly peers: boolean;
}

/**
 * Restricts the bench to the named parts, layouts, collectives, sizes in bytes and peers. A category with no
 * word given stays complete, but a layout, collective or size alone implies the part `layouts`.
 *
 * @throws TrainerError `BAD_INPUT` naming an unknown word
 */
export function scopeOf({ only, quick, peers }: ScopeOptions): Scope {
  const bytesOf = quick ? QUICK_BYTES : BYTES;
  const sizes = [...new Set(Object.values(bytesOf).flat())].sort((a, b) => a - b);
  const known: readonly string[] = [...PARTS, ...LAYOUTS, ...COLLECTIVES, ...sizes.map(String), ...PEERS];
  const unknown = only.find((word) => !known.includes(word));
  if (unknown !== undefined)
    throw new TrainerError('BAD_INPUT', `--only ${unknown}: expected one of ${known.join(', ')}`);
  const named = <T extends string>(all: readonly T[]) => all.filter((each) => only.includes(each));
  const narrow = <T extends string>(all: readonly T[]) => (named(all).length > 0 ? named(all) : all);
  const wanted = sizes.filter((bytes) => only.includes(String(bytes)));
  const cases = narrow(COLLECTIVES).flatMap((collective) =>
    bytesOf[collective]
      .filter((bytes) => wanted.length === 0 || wanted.includes(bytes))
      .map((bytes): ExchangeCase => ({ collective, bytes })),
  );
  const isOfLayouts = named(LAYOUTS).length + named(COLLECTIVES).length + wanted.length > 0;
  return {
    parts: isOfLayouts && named(PARTS).length === 0 ? ['layouts'] : narrow(PARTS),
    layouts: quick && named(LAYOUTS).length === 0 ? QUICK_LAYOUTS : narrow(LAYOUTS),
    cases,
    peers: peers ? narrow(PEERS) : [],
    repetition: { caseMs: quick ? 60 : 300, least: quick ? 5 : 7, most: 20_000 },
    streamPieces: quick ? 8 : 30,
  };
}
