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
    // An expert for each token on each of the two nodes, whose loads are then equal.
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
