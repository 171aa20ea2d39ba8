import { ROUTER_NAMES, type RouterName } from 'locmoe/internal/routing/index';

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

/** The routers, some with preferences and without, ablations of near-hash selection, and controls with as few tokens per expert. */
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

/** The reference: top-1 with classic capacity, and with the preferences of token ids that every learned router has here. */
export const BASELINE: VariantId = 'switch';
/** The reference of the papers. */
export const PLAIN_BASELINE: VariantId = 'switch-plain';
/** Level 1 without any gate: every table of times has this router, also where it was not run. */
export const LEVEL_1_CONTROL: VariantId = 'hash-two-level';

/**
 * The tuned learned gates have a preference of each token id for experts that outweighs what they learn: at the start it is
 * 256 / 257 of the variance of their scores, so that they route nearly as a hash of the token id does. Their labels say so; the routers
 * without it keep their plain names.
 */
const PREFERENCE = 'moe.tokenPreference=16';

/**
 * Near-hash selection: `locmoe-plus` with preferences, without its locality loss and with a fixed capacity in place of its
 * adaptive one, so that nearly a fixed list of token ids has experts. A token has one candidate of its domain's experts, which
 * keep 37 % of an even share: at least 60 % less than the baseline, which drops some too. The capacity does not fall in the
 * course of training, as preferences are as concentrated at its beginning as at its end.
 */
const NEAR_HASH_SELECTION = [
  'moe.router=locmoe-plus',
  PREFERENCE,
  'moe.localityLossWeight=0',
  'moe.temperature=4',
  'moe.maxExpertsPerToken=1',
  'moe.affinityShare=1',
  'moe.capacityFactor=0.37',
] as const;
/** Shares of the tokens, for what keeps about as few as near-hash selection. */
const CAPACITIES = ['capacityFactor=0.2', 'capacityFactor=0.6', 'capacityFactor=0.85'] as const;

const TUNED: readonly Variant[] = [
  { id: 'hash', label: 'hash', sets: ['moe.router=hash'], keeps: 'first come' },
  {
    id: 'hash-two-level',
    label: 'two-level hash (RRE)',
    sets: ['moe.router=hash'],
    level1: 'node',
    keeps: 'first come',
  },
  {
    id: 'switch',
    label: 'switch + token preference',
    sets: ['moe.router=switch', PREFERENCE],
    capacities: ['capacityFactor=0.37', 'capacityFactor=0.6'],
    keeps: 'first come',
  },
  {
    id: 'switch-plain',
    label: 'switch',
    sets: ['moe.router=switch'],
    keeps: 'first come',
  },
  {
    id: 'locmoe',
    label: 'LocMoE + token preference',
    // The classic capacity: a token has one candidate here, so a smaller share drops tokens that matter. Level 1 keeps tokens on
    // their node, which leaves the locality loss nothing to do.
    sets: ['moe.router=locmoe', PREFERENCE, 'moe.affinityShare=1', 'moe.localityLossWeight=0'],
    level1: 'node',
    capacities: ['affinityShare=0.2', 'affinityShare=0.4'],
    keeps: 'first come',
  },
  {
    id: 'locmoe-plain',
    label: 'LocMoE',
    // Level 1 off: that tokens stay on their node is the work of the locality loss.
    sets: ['moe.router=locmoe', 'moe.affinityShare=0.8'],
    keeps: 'first come',
  },
  {
    id: 'locmoe-plus',
    label: 'near-hash selection',
    sets: [...NEAR_HASH_SELECTION, 'moe.selection=both', 'moe.choiceWeights=margin'],
    capacities: CAPACITIES,
    level1: 'domain',
    keeps: 'threshold',
  },
  {
    id: 'locmoe-plus-plain',
    label: 'LocMoE+',
    // Most experts are candidates and weights are nearly even; short runs tuned it to 60 % fewer tokens.
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
    label: 'near-hash selection (TCR only)',
    sets: [...NEAR_HASH_SELECTION, 'moe.selection=tcr'],
    level1: 'domain',
    keeps: 'first come',
    validatedWithDrops: true,
  },
  {
    id: 'locmoe-plus-ecr',
    label: 'near-hash selection (ECR only)',
    sets: [...NEAR_HASH_SELECTION, 'moe.selection=ecr', 'moe.choiceWeights=margin'],
    level1: 'domain',
    keeps: 'threshold',
  },
  {
    id: 'moge',
    label: 'MoGE + token preference',
    // An expert for each token on each of the two nodes, whose loads are then equal.
    sets: ['moe.router=moge', PREFERENCE, 'moe.deviceGroups=2'],
    capacities: ['capacityFactor=0.2', 'capacityFactor=0.4'],
    keeps: 'first come',
  },
  {
    id: 'locmoe-plus-random',
    label: 'near-hash selection (random tokens)',
    sets: [...NEAR_HASH_SELECTION, 'moe.selection=both', 'moe.ranking=random'],
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

/** Variants in the order of the report; a router without an entry in TUNED comes last, with its defaults. */
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

/** Routers in report order, with the control of level 1. */
export function withControl(variants: readonly VariantId[]): VariantId[] {
  return VARIANT_IDS.filter((id) => id === LEVEL_1_CONTROL || variants.includes(id));
}

export function labelOf(variant: VariantId): string {
  return VARIANTS[variant].label;
}
