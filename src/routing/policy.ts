import type { z } from 'zod';
import type { Rule } from '../architecture/rule.js';
import type { tf } from '../ops/tensorflow.js';
import type { ParameterSpec } from '../parameters/parameters.js';
import type { CommonMoe } from './common-fields.js';
import type { Router, RouterContext, RouterInput } from './router.js';

// Shapes: T tokens of a rank, E experts.

/** An invalid field of `moe:`. */
export interface MoeProblem {
  readonly field: string;
  readonly message: string;
}

/** Returns the problem of a field if `ok` is false. */
export function unless(ok: boolean, field: string, message: string): MoeProblem | undefined {
  return ok ? undefined : { field, message };
}

/** A check across fields; undefined if it passes. */
export type MoeRule<Moe> = (
  moe: Moe,
  model: { readonly dModel: number; readonly numHeads: number },
) => MoeProblem | undefined;

/** A routing policy (level 2): its config fields, checks, parameters, rule and the router of a layer. */
export interface RouterPolicy<Moe extends CommonMoe = CommonMoe> {
  /** The policy's own fields of `moe:`, each with a default. */
  readonly fields: z.ZodRawShape;
  readonly rules: readonly MoeRule<Moe>[];
  /** Own fields that determine the parameters or the meaning of the state; a checkpoint must have the same values. */
  readonly shapedBy: readonly string[];
  /** Returns the parameters of one layer; names are relative to the router. */
  parameters(moe: Moe, dModel: number): readonly ParameterSpec[];
  /**
   * Returns the decision outside training as data, which refers to the router's parameters and state by their short names; null
   * if it cannot be expressed, so that the model cannot be exported.
   */
  rule(moe: Moe, dModel: number): Rule | null;
  /** Returns what the planner cannot tell from the rule. */
  hints?(moe: Moe): {
    /** Numbers that a rank sends to each other rank for the losses, with its counts or scores. */
    readonly numShared?: number;
    /** Expected kept choices per token and the source of the figure; absent if all choices are kept that fit. */
    readonly kept?: { readonly perToken: number; readonly source: string };
  };
  /** Cosines between tokens and gate vectors, [T, E]; null if the policy has no gate vectors. */
  readonly gateCosines: ((moe: Moe, input: Pick<RouterInput, 'xTD' | 'parameters'>) => tf.Tensor2D) | null;
  /** Returns the router of one layer. Omit `state`, `endStep` and `skipStep` if it is stateless. */
  create(
    context: RouterContext<Moe>,
  ): Pick<Router, 'route' | 'foresee' | 'table'> & Partial<Pick<Router, 'state' | 'endStep' | 'skipStep'>>;
}

/** The section `moe:` as seen by a policy with these fields. */
export type MoeWith<Fields extends z.ZodRawShape> = CommonMoe & {
  readonly [Field in keyof Fields]: z.output<Fields[Field]>;
};

type Optional = 'rules' | 'shapedBy' | 'parameters' | 'rule' | 'gateCosines';
type Definition<Fields, Moe extends CommonMoe> = { readonly fields?: Fields } & Partial<
  Pick<RouterPolicy<Moe>, Optional>
> &
  Omit<RouterPolicy<Moe>, 'fields' | Optional>;
type Defined<Fields, Moe extends CommonMoe> = Omit<RouterPolicy<Moe>, 'fields'> & { readonly fields: Fields };

/** Defines a policy. `moe` is typed by the common fields and the policy's own `fields`. */
export function defineRouter<Fields extends z.ZodRawShape = Record<never, never>>(
  definition: Definition<Fields, MoeWith<NoInfer<Fields>>>,
): Defined<Fields, MoeWith<Fields>> {
  return {
    rules: [],
    shapedBy: [],
    parameters: () => [],
    rule: () => null,
    gateCosines: null,
    ...definition,
    fields: definition.fields ?? ({} as Fields),
  };
}
