import { TrainerError } from 'locmoe/errors';
import { ROUTER_NAMES, type RouterName } from 'locmoe/routing/index';

/** A router of the comparison: label and config overrides. */
export interface Variant {
  readonly id: VariantId;
  readonly label: string;
  readonly sets: readonly string[];
  /** Why its perplexity does not stand beside those of the others. */
  readonly perplexityNote?: string;
}

/** The routers, ablations of LocMoE+, and controls with as few tokens per expert as LocMoE+. */
export type VariantId =
  | RouterName
  | 'locmoe-plus-tcr'
  | 'locmoe-plus-ecr'
  | 'locmoe-plus-random'
  | 'hash-first-come';

/** The reference: top-1 with classic capacity. */
export const BASELINE: VariantId = 'switch';

/**
 * Tuned in short runs to 60 % fewer tokens per expert. With few candidates, tokens often lose all of them;
 * with most experts as candidates, experts find their best tokens for half the loss in perplexity. The nearly
 * even weights of a high temperature cut another third of it.
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
  // A token has one candidate here, so a smaller share drops tokens that matter.
  { id: 'locmoe', label: 'LocMoE', sets: ['moe.router=locmoe', 'moe.affinityShare=0.8'] },
  { id: 'locmoe-plus', label: 'LocMoE+', sets: [...LOCMOE_PLUS, 'moe.selection=both'] },
  { id: 'locmoe-plus-tcr', label: 'LocMoE+ (TCR only)', sets: [...LOCMOE_PLUS, 'moe.selection=tcr'] },
  { id: 'locmoe-plus-ecr', label: 'LocMoE+ (ECR only)', sets: [...LOCMOE_PLUS, 'moe.selection=ecr'] },
  // An expert for each token on each of the two nodes of 2x2, whose loads are then equal.
  { id: 'moge', label: 'MoGE', sets: ['moe.router=moge', 'moe.deviceGroups=2'] },
  {
    id: 'locmoe-plus-random',
    label: 'LocMoE+ (random tokens)',
    sets: [...LOCMOE_PLUS, 'moe.selection=both', 'moe.ranking=random'],
  },
  // 180 of 4096 tokens; LocMoE+ keeps 176.
  {
    id: 'hash-first-come',
    label: 'hash (first come)',
    sets: ['moe.router=hash', 'moe.capacityFactor=0.35'],
    perplexityNote:
      'The perplexity of hash (first come) is not to be compared: it drops tokens in training and none in validation.',
  },
];

/** In report order; a router without an entry in TUNED comes last, with its defaults. */
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

/** What readers of a table or picture with these variants' perplexities must know. */
export function perplexityNotes(variants: readonly VariantId[]): string[] {
  return variants.flatMap((variant) => VARIANTS[variant].perplexityNote ?? []);
}

export const LAYOUTS = ['2x2', '4x1'] as const;
export const PLACEMENTS = ['domain', 'mixed'] as const;

/** The layout and data placement in which routers are compared. */
export interface Cell {
  /** Nodes x workers per node. */
  readonly layout: (typeof LAYOUTS)[number];
  readonly placement: (typeof PLACEMENTS)[number];
}

/** The cell of `routers.json`: a router can only save traffic between nodes if nodes differ in text. */
export const HEADLINE_CELL: Cell = { layout: '2x2', placement: 'domain' };

/** One run of the comparison. */
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
 * The runs in execution order: all routers in turn for each seed and cell, so that a temporary slowdown
 * affects all alike. The router that starts rotates.
 */
export function planJobs({ variants, cells, seeds }: Scope): Job[] {
  const turns = cells.flatMap((cell) => seeds.map((seed) => ({ ...cell, seed })));
  return turns.flatMap((turn, k) =>
    variants.map((_, i) => ({ ...turn, variant: variants[(i + k) % variants.length] })),
  );
}

/** All cells, the headline cell first. */
export function allCells(): Cell[] {
  return LAYOUTS.flatMap((layout) => PLACEMENTS.map((placement) => ({ layout, placement })));
}

/**
 * Restricts the comparison to the named routers, layouts and placements; a category with no word given stays
 * complete.
 *
 * @throws TrainerError `BAD_INPUT` naming an unknown word
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

/** Config overrides of a job. */
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
