import { TrainerError } from 'locmoe/errors';
import { ROUTER_NAMES, type RouterName } from 'locmoe/routing/index';

/** A router of the comparison: label and config overrides. */
export interface Variant {
  readonly id: VariantId;
  readonly label: string;
  readonly sets: readonly string[];
  /** The frontier's values of the field of `moe:` that sets its capacity, beside its own: 25 to 90 % of the baseline's tokens. */
  readonly capacities?: readonly string[];
  /**
   * `threshold`: outside training too, an expert keeps about as large a share of its candidates. `first come`: it drops whom it
   * has no room for, in the order of the batch, and outside training nobody.
   */
  readonly keeps: 'threshold' | 'first come';
  /** Most of its tokens go without an expert, first come: validated without these drops it would be another model. */
  readonly validatedWithDrops?: true;
  /** Level 1: a group of experts for each node or domain, as far as there are domains and the groups can be equal. */
  readonly level1?: 'node' | 'domain';
}

/** The routers, some as published too, ablations of LocMoE+, and controls with as few tokens per expert as LocMoE+. */
export type VariantId =
  | RouterName
  | 'hash-two-level'
  | 'switch-plain'
  | 'locmoe-plain'
  | 'locmoe-plus-plain'
  | 'locmoe-plus-tcr'
  | 'locmoe-plus-ecr'
  | 'locmoe-plus-random'
  | 'hash-first-come';

/** The reference: top-1 with classic capacity, and with what every learned router has here. */
export const BASELINE: VariantId = 'switch';
/** The reference of the papers. */
export const PLAIN_BASELINE: VariantId = 'switch-plain';

/**
 * Every learned gate has a preference of each token id for experts; without it hash leads them all.
 */
const PREFERENCE = 'moe.tokenPreference=16';

/**
 * A token has one candidate of its domain's experts, which keep 37 % of an even share: at least 60 % less than the baseline,
 * which drops some too. The capacity does not fall in the course of training, as preferences are as concentrated at its beginning as
 * at its end.
 */
const LOCMOE_PLUS = [
  'moe.router=locmoe-plus',
  PREFERENCE,
  'moe.localityLossWeight=0',
  'moe.temperature=4',
  'moe.maxExpertsPerToken=1',
  'moe.affinityShare=1',
  'moe.capacityFactor=0.37',
] as const;
/** Shares of the tokens, for what keeps about as few as LocMoE+. */
const CAPACITIES = ['capacityFactor=0.2', 'capacityFactor=0.6', 'capacityFactor=0.85'] as const;

const TUNED: readonly Variant[] = [
  { id: 'hash', label: 'hash (RRE)', sets: ['moe.router=hash'], keeps: 'first come' },
  {
    id: 'hash-two-level',
    label: 'hash (RRE, both levels)',
    sets: ['moe.router=hash'],
    level1: 'node',
    keeps: 'first come',
  },
  {
    id: 'switch',
    label: 'switch (baseline)',
    sets: ['moe.router=switch', PREFERENCE],
    capacities: ['capacityFactor=0.37', 'capacityFactor=0.6'],
    keeps: 'first come',
  },
  {
    id: 'switch-plain',
    label: 'switch as published',
    sets: ['moe.router=switch'],
    keeps: 'first come',
  },
  {
    id: 'locmoe',
    label: 'LocMoE',
    // The classic capacity: a token has one candidate here, so a smaller share drops tokens that matter. Level 1 keeps tokens on
    // their node, which leaves the locality loss nothing to do.
    sets: ['moe.router=locmoe', PREFERENCE, 'moe.affinityShare=1', 'moe.localityLossWeight=0'],
    level1: 'node',
    capacities: ['affinityShare=0.2', 'affinityShare=0.4'],
    keeps: 'first come',
  },
  {
    id: 'locmoe-plain',
    label: 'LocMoE as published',
    // Level 1 off: that tokens stay on their node is the work of the locality loss.
    sets: ['moe.router=locmoe', 'moe.affinityShare=0.8'],
    keeps: 'first come',
  },
  {
    id: 'locmoe-plus',
    label: 'LocMoE+',
    sets: [...LOCMOE_PLUS, 'moe.selection=both', 'moe.choiceWeights=margin'],
    capacities: CAPACITIES,
    level1: 'domain',
    keeps: 'threshold',
  },
  {
    id: 'locmoe-plus-plain',
    label: 'LocMoE+ as published',
    // With most experts as candidates and nearly even weights, tuned to 60 % fewer tokens in short runs.
    sets: [
      'moe.router=locmoe-plus',
      'moe.selection=both',
      'moe.temperature=4',
      'moe.affinityShare=0.08',
      'moe.affinityThreshold=0.98',
      'moe.maxExpertsPerToken=6',
      'moe.localityLossWeight=0.01',
    ],
    keeps: 'threshold',
  },
  {
    id: 'locmoe-plus-tcr',
    label: 'LocMoE+ (TCR only)',
    sets: [...LOCMOE_PLUS, 'moe.selection=tcr'],
    level1: 'domain',
    keeps: 'first come',
    validatedWithDrops: true,
  },
  {
    id: 'locmoe-plus-ecr',
    label: 'LocMoE+ (ECR only)',
    sets: [...LOCMOE_PLUS, 'moe.selection=ecr', 'moe.choiceWeights=margin'],
    level1: 'domain',
    keeps: 'threshold',
  },
  {
    id: 'moge',
    label: 'MoGE',
    // An expert for each token on each of the two nodes of 2x2, whose loads are then equal.
    sets: ['moe.router=moge', PREFERENCE, 'moe.deviceGroups=2'],
    capacities: ['capacityFactor=0.2', 'capacityFactor=0.4'],
    keeps: 'first come',
  },
  {
    id: 'locmoe-plus-random',
    label: 'LocMoE+ (random tokens)',
    sets: [...LOCMOE_PLUS, 'moe.selection=both', 'moe.ranking=random'],
    capacities: CAPACITIES,
    level1: 'domain',
    keeps: 'threshold',
  },
  {
    id: 'hash-first-come',
    label: 'hash (first come)',
    sets: ['moe.router=hash', 'moe.capacityFactor=0.37'],
    capacities: CAPACITIES,
    keeps: 'first come',
    validatedWithDrops: true,
  },
];

/** In report order; a router without an entry in TUNED comes last, with its defaults. */
const ALL: readonly Variant[] = [
  ...TUNED,
  ...ROUTER_NAMES.filter((name) => !TUNED.some(({ id }) => id === name)).map(
    (name): Variant => ({ id: name, label: name, sets: [`moe.router=${name}`], keeps: 'first come' }),
  ),
];
export const VARIANT_IDS = ALL.map(({ id }) => id);
export const VARIANTS = Object.fromEntries(ALL.map((each) => [each.id, each])) as Readonly<
  Record<VariantId, Variant>
>;

const LAYOUTS = ['2x2', '4x1'] as const;
export const PLACEMENTS = ['domain', 'mixed'] as const;

/** Nodes x workers per node. */
export type Layout = `${number}x${number}`;

/** The layout and data placement in which routers are compared. */
export interface Cell {
  readonly layout: Layout;
  readonly placement: (typeof PLACEMENTS)[number];
}

/** The cell of `routers.json`: a router can only save traffic between nodes if nodes differ in text. */
export const HEADLINE_CELL: Cell = { layout: '2x2', placement: 'domain' };

/**
 * What a run is for. `quality`: perplexity, after millions of tokens, where that is fastest. `time`: a step, on the emulated
 * cluster. `quick`: a short run there that serves for either.
 */
export type Kind = 'quality' | 'time' | 'quick';
const WORDS_OF_KINDS = ['quality', 'time'] as const;

/** One run of the comparison. */
export interface Job extends Cell {
  readonly kind: Kind;
  readonly variant: VariantId;
  readonly seed: number;
  /** One of the variant's `capacities`; null for its own. */
  readonly capacity: string | null;
}

/** Points of the frontier are runs of one seed, the one that everything has. */
export const FRONTIER_SEED = 1;

export interface Scope {
  readonly kinds: readonly Kind[];
  readonly variants: readonly VariantId[];
  readonly cells: readonly Cell[];
  readonly seeds: readonly number[];
  /** Of quality runs. */
  readonly qualityLayout: Layout;
}

export function jobId({ kind, variant, capacity, layout, placement, seed }: Job): string {
  const setting = capacity === null ? [] : [capacity.replace('=', '-')];
  return [kind, variant, ...setting, layout, placement, `seed${seed}`].join('-');
}

/**
 * The runs in execution order: quality first, the frontier after what the headline needs; then time. All routers in turn for
 * each seed and cell, so that a temporary slowdown affects all alike. The router that starts rotates.
 */
export function planJobs({ kinds, variants, cells, seeds, qualityLayout }: Scope): Job[] {
  const { placement } = HEADLINE_CELL;
  return kinds.flatMap((kind) => {
    if (kind !== 'quality') return inTurns(kind, variants, cells, seeds);
    const cell = { layout: qualityLayout, placement };
    const frontier = variants.flatMap((variant) =>
      (VARIANTS[variant].capacities ?? []).map(
        (capacity): Job => ({ kind, variant, capacity, seed: FRONTIER_SEED, ...cell }),
      ),
    );
    return [...inTurns(kind, variants, [cell], seeds), ...frontier];
  });
}

function inTurns(
  kind: Kind,
  variants: readonly VariantId[],
  cells: readonly Cell[],
  seeds: readonly number[],
): Job[] {
  const turns = cells.flatMap((cell) => seeds.map((seed) => ({ ...cell, kind, seed, capacity: null })));
  return turns.flatMap((turn, k) =>
    variants.map((_, i) => ({ ...turn, variant: variants[(i + k) % variants.length] })),
  );
}

/** All cells, the headline cell first. */
export function allCells(): Cell[] {
  return LAYOUTS.flatMap((layout) => PLACEMENTS.map((placement) => ({ layout, placement })));
}

/**
 * Restricts the comparison to the named kinds of runs, routers, layouts and placements; a category with no word given stays
 * complete. Layouts and placements are those of time runs.
 *
 * @param all what there is to restrict; its kinds are no words if a run serves for both
 * @throws TrainerError `BAD_INPUT` naming an unknown word
 */
export function narrowed(all: Scope, only: readonly string[]): Scope {
  const kinds = WORDS_OF_KINDS.filter((kind) => all.kinds.includes(kind));
  const known: readonly string[] = [...kinds, ...VARIANT_IDS, ...LAYOUTS, ...PLACEMENTS];
  const unknown = only.find((word) => !known.includes(word));
  if (unknown !== undefined)
    throw new TrainerError(
      'BAD_INPUT',
      WORDS_OF_KINDS.some((kind) => kind === unknown)
        ? `--only ${unknown}: a run of --quick serves for quality and time at once; leave out one of the two options`
        : `--only ${unknown}: expected one of ${known.join(', ')}`,
    );
  const narrow = <T extends string>(words: readonly T[]): readonly T[] => {
    const named = words.filter((each) => only.includes(each));
    return named.length > 0 ? named : words;
  };
  const layouts: readonly string[] = narrow(LAYOUTS);
  const placements = narrow(PLACEMENTS);
  return {
    ...all,
    kinds: narrow(all.kinds),
    variants: narrow(all.variants),
    cells: all.cells.filter(
      ({ layout, placement }) => layouts.includes(layout) && placements.includes(placement),
    ),
  };
}

/** Config overrides of a job, for a model and text like these. */
export function settingsOf(
  { variant, capacity, layout, placement, seed }: Job,
  { numExperts, numDomains }: { readonly numExperts: number; readonly numDomains: number },
): string[] {
  const [nodes, workersPerNode] = layout.split('x');
  const { sets, level1 } = VARIANTS[variant];
  let numGroups = level1 === 'node' ? Math.min(Number(nodes), numDomains) : numDomains;
  while (numExperts % numGroups !== 0) numGroups--;
  return [
    ...sets,
    ...(level1 === undefined ? [] : [`moe.expertGroups=${numGroups}`]),
    ...(capacity === null ? [] : [`moe.${capacity}`]),
    `seed=${seed}`,
    `data.placement=${placement}`,
    `cluster.nodes=${nodes}`,
    `cluster.workersPerNode=${workersPerNode}`,
  ];
}
