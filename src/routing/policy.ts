import type { z } from 'zod';
import type { Rule } from '../architecture/rule.js';
import type { tf } from '../ops/tensorflow.js';
import type { ParameterSpec } from '../parameters/parameters.js';
import type { CommonMoe } from './common-fields.js';
import type { Router, RouterContext, RouterInput } from './router.js';

// Shapes: T tokens of a rank, d hidden size, E experts.

/** Compute cost of a part of the model. */
export interface Work {
  /** Multiplications and additions of matrix products. */
  readonly flops: number;
  /** Elements read and written by everything else. */
  readonly touched: number;
  /** Calls of TensorFlow kernels. */
  readonly operations: number;
}

/** Cost of a router for the planner: one sparse layer, T tokens of a rank. */
export interface RouterPrice {
  /** The gate and the auxiliary losses in TensorFlow. */
  readonly forward: Work;
  readonly backward: Work;
  /** Gate time outside TensorFlow, in ns per token; used if the calibration has not measured this router. */
  readonly hostNs: number;
  /** Bytes that a rank sends to each other rank before the dispatch. */
  readonly gathered: { readonly purpose: 'counts' | 'scores'; readonly bytes: number };
  /** Maximum number of choices of a token. */
  readonly choicesPerToken: number;
  /** Expected kept choices per token and the source of the figure; absent if all choices are kept. */
  readonly kept?: {
    readonly perToken: number;
    readonly source: string;
  };
  /**
   * Candidates per token in an expert choice, which every rank computes over the tokens of all ranks; 0 without expert choice.
   */
  readonly candidatesPerToken: number;
  /** Whether rows are multiplied by routing weights, which have gradients. */
  readonly weighted: boolean;
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

/** A routing policy (level 2): its config fields, checks, parameters, cost and the router of a layer. */
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
  price(moe: Moe, size: { readonly numTokens: number; readonly dModel: number }): RouterPrice;
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
