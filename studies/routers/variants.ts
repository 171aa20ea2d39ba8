import { ROUTER_NAMES, type RouterName } from 'locmoe/internal/routing/index';
import { readYaml } from '../kit/read-yaml.js';

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

type Described = Omit<Variant, 'id' | 'sets'> & { readonly sets: readonly (string | readonly string[])[] };

const TUNED = Object.entries(
  readYaml<{ readonly variants: Readonly<Record<string, Described>> }>('routers/variants.yaml').variants,
).map(([id, each]) => ({ ...each, id: id as VariantId, sets: each.sets.flat() }));

/** Variants in the order of the report; a router that variants.yaml does not have comes last, with its defaults. */
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
