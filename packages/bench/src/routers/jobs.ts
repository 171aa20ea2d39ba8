import { TrainerError } from 'locmoe/errors';
import { ROUTER_NAMES, type RouterName } from 'locmoe/routing/index';

/** A router of the comparison: how it is called and what it sets in the configuration. */
export interface Variant {
  readonly id: VariantId;
  readonly label: string;
  readonly sets: readonly string[];
}

/** Ablations of LocMoE+, beside the routers themselves. */
export type VariantId = RouterName | 'locmoe-plus-tcr' | 'locmoe-plus-ecr';

/** The top-1 router with classic capacity that all others are held against. */
export const BASELINE: VariantId = 'switch';

/**
 * Tuned by short runs: 60 % fewer tokens an expert. With few candidates a token loses all of them too often; where it may
 * choose most of the experts, they find their best tokens for half the loss in perplexity. The nearly even weights that
 * a high temperature gives take another third off it.
 */
const LOCMOE_PLUS = [
  'moe.router=locmoe-plus',
  'moe.temperature=4',
  'moe.affinityShare=0.08',
  'moe.affinityThreshold=0.98',
  'moe.maxExpertsPerToken=6',
  'moe.localityLossWeight=0.01',
] as const;

const TUNED: readonly Variant[] = [
  { id: 'hash', label: 'hash (RRE)', sets: ['moe.router=hash'] },
  { id: 'switch', label: 'switch (baseline)', sets: ['moe.router=switch'] },
  // A token has one candidate place here: what a smaller share drops is missed.
  { id: 'locmoe', label: 'LocMoE', sets: ['moe.router=locmoe', 'moe.affinityShare=0.8'] },
  { id: 'locmoe-plus', label: 'LocMoE+', sets: [...LOCMOE_PLUS, 'moe.selection=both'] },
  { id: 'locmoe-plus-tcr', label: 'LocMoE+ (TCR only)', sets: [...LOCMOE_PLUS, 'moe.selection=tcr'] },
  { id: 'locmoe-plus-ecr', label: 'LocMoE+ (ECR only)', sets: [...LOCMOE_PLUS, 'moe.selection=ecr'] },
];

/** In the order of the report; a router that is not tuned here comes last, with its defaults. */
const ALL: readonly Variant[] = [
  ...TUNED,
  ...ROUTER_NAMES.filter((name) => !TUNED.some(({ id }) => id === name)).map((name) => ({
    id: name,
    label: name,
    sets: [`moe.router=${name}`],
  })),
];
export const VARIANT_IDS = ALL.map(({ id }) => id);
export const VARIANTS = Object.fromEntries(ALL.map((each) => [each.id, each])) as Readonly<
  Record<VariantId, Variant>
>;

export const LAYOUTS = ['2x2', '4x1'] as const;
export const PLACEMENTS = ['domain', 'mixed'] as const;

/** The cluster and the placement of the data that routers are compared on. */
export interface Cell {
  /** Nodes x workers of a node. */
  readonly layout: (typeof LAYOUTS)[number];
  readonly placement: (typeof PLACEMENTS)[number];
}

/**
 * Where the figures of `routers.json` come from: a router can only save the way between nodes where a node has text of
 * its own.
 */
export const HEADLINE_CELL: Cell = { layout: '2x2', placement: 'domain' };

/** One training of the comparison. */
export interface Job extends Cell {
  readonly variant: VariantId;
  readonly seed: number;
}

export interface Scope {
  readonly variants: readonly VariantId[];
  readonly cells: readonly Cell[];
  readonly seeds: readonly number[];
}

export function jobId({ variant, layout, placement, seed }: Job): string {
  return `${variant}-${layout}-${placement}-seed${seed}`;
}

/**
 * The runs in the order in which they are made: for each seed and cell all routers in turn, so that a slow quarter of
 * an hour hits all alike; the router that begins changes from turn to turn.
 */
export function planJobs({ variants, cells, seeds }: Scope): Job[] {
  const turns = cells.flatMap((cell) => seeds.map((seed) => ({ ...cell, seed })));
  return turns.flatMap((turn, k) =>
    variants.map((_, i) => ({ ...turn, variant: variants[(i + k) % variants.length] })),
  );
}

/** Every cell, the one of the headline first. */
export function allCells(): Cell[] {
  return LAYOUTS.flatMap((layout) => PLACEMENTS.map((placement) => ({ layout, placement })));
}

/**
 * Narrows the comparison to the named routers, layouts and placements; a kind of which none is named stays whole.
 *
 * @throws TrainerError `BAD_INPUT` naming a word that is none of them
 */
export function scopeOf(only: readonly string[], seeds: readonly number[]): Scope {
  const known: readonly string[] = [...VARIANT_IDS, ...LAYOUTS, ...PLACEMENTS];
  const unknown = only.find((word) => !known.includes(word));
  if (unknown !== undefined)
    throw new TrainerError('BAD_INPUT', `--only ${unknown}: expected one of ${known.join(', ')}`);
  const narrow = <T extends string>(all: readonly T[]): readonly T[] => {
    const named = all.filter((each) => only.includes(each));
    return named.length > 0 ? named : all;
  };
  const layouts = narrow(LAYOUTS);
  const placements = narrow(PLACEMENTS);
  return {
    variants: narrow(VARIANT_IDS),
    cells: allCells().filter((cell) => layouts.includes(cell.layout) && placements.includes(cell.placement)),
    seeds,
  };
}

/** The settings of a job on top of the recipe. */
export function settingsOf({ variant, layout, placement, seed }: Job): string[] {
  const [nodes, workersPerNode] = layout.split('x');
  return [
    ...VARIANTS[variant].sets,
    `seed=${seed}`,
    `data.placement=${placement}`,
    `cluster.nodes=${nodes}`,
    `cluster.workersPerNode=${workersPerNode}`,
  ];
}
