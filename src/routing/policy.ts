import type { z } from 'zod';
import { type ShortRule, wholeRule } from '../architecture/build-rule.js';
import type { Rule, Scores } from '../architecture/rule.js';
import type { tf } from '../ops/tensorflow.js';
import { initStd } from '../parameters/matrix.js';
import type { ParameterSpec } from '../parameters/parameters.js';
import type { CommonMoe } from './common-fields.js';
import type { CreatedRouter, RouterContext } from './router.js';

// Shapes: T tokens of a rank, E experts.

/**
 * A parameter of a router. By default a matrix has normally distributed values of `initStd` and decays; a vector has zeros and does
 * not decay.
 */
export type RouterParameter = Pick<ParameterSpec, 'name' | 'shape'> & Partial<ParameterSpec>;

/** Provides what the auxiliary loss of a derived router is computed from, in training. */
export interface LossInput {
  /** Computes scores of this rank's tokens, [T, E], differentiable. */
  valuesOf(scores: Scores): tf.Tensor2D;
  /**
   * Computes the load-balance loss of a distribution over experts, given as scores or as their values, [T, E]; weighted by
   * `moe.auxiliaryLossWeight` (`balanceLoss`).
   */
  balance(distribution: Scores | tf.Tensor2D): tf.Scalar;
}

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
  /** Auxiliary loss of a router that is derived from its rule, a scalar; null: the load-balance loss of the choice's scores. */
  readonly loss: ((moe: Moe, input: LossInput) => tf.Scalar) | null;
  /**
   * Returns the router of one layer. Omit `state`, `endStep` and `skipStep` if it is stateless. Null: the router is derived from its
   * rule (rules/rule-router.ts).
   */
  readonly create: ((context: RouterContext<Moe>) => CreatedRouter) | null;
}

/** The section `moe:` as seen by a policy with these fields. */
export type MoeWith<Fields extends z.ZodRawShape> = CommonMoe & {
  readonly [Field in keyof Fields]: z.output<Fields[Field]>;
};

type Definition<Fields, Moe extends CommonMoe> = { readonly fields?: Fields } & Partial<
  Omit<RouterPolicy<Moe>, 'fields' | 'parameters' | 'rule'>
> & {
    /** Parameters of one layer; names are relative to the router. */
    parameters?(moe: Moe, dModel: number): readonly RouterParameter[];
    /** As `RouterPolicy.rule`, in short. */
    rule?(moe: Moe, dModel: number): ShortRule | null;
  };
type Defined<Fields, Moe extends CommonMoe> = Omit<RouterPolicy<Moe>, 'fields'> & { readonly fields: Fields };

/**
 * Defines a policy by `create`, or by `rule` alone. `moe` is typed by the common fields and the policy's own `fields`.
 */
export function defineRouter<Fields extends z.ZodRawShape = Record<never, never>>(
  definition: Definition<Fields, MoeWith<NoInfer<Fields>>>,
): Defined<Fields, MoeWith<Fields>> {
  type Moe = MoeWith<Fields>;
  const rule = (moe: Moe, dModel: number) => {
    const short = definition.rule?.(moe, dModel) ?? null;
    return short && wholeRule(short);
  };
  return {
    rules: [],
    shapedBy: [],
    loss: null,
    create: null,
    ...definition,
    rule,
    parameters: (moe, dModel) =>
      (definition.parameters?.(moe, dModel) ?? []).map((spec) => withDefaults(spec, dModel)),
    fields: definition.fields ?? ({} as Fields),
  };
}

function withDefaults(spec: RouterParameter, dModel: number): ParameterSpec {
  const isMatrix = spec.shape.length > 1;
  return {
    init: isMatrix ? { kind: 'normal', std: initStd(dModel) } : { kind: 'constant', value: 0 },
    placement: 'shared',
    decay: isMatrix,
    ...spec,
  };
}
