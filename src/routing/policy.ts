import type { Tensor2D } from '@tensorflow/tfjs-node';
import type { z } from 'zod';
import type { ParameterSpec } from '../parameters/parameters.js';
import type { CommonMoe } from './common-fields.js';
import type { Router, RouterContext, RouterInput } from './router.js';

// Shapes: T tokens of a rank, d hidden size, E experts.

/** What a piece of the model costs a processor. */
export interface Work {
  /** Multiplications and additions of matrix products. */
  readonly flops: number;
  /** Elements read and written by everything else. */
  readonly touched: number;
  /** TensorFlow kernels that are called. */
  readonly operations: number;
}

/** What the planner has to know of a router: its share of one sparse layer, for the T tokens of a rank. */
export interface RouterPrice {
  /** The gate and the auxiliary losses in TensorFlow. */
  readonly forward: Work;
  readonly backward: Work;
  /** The rest of the gate, in ns a token, for machines on which `locmoe bench plan` has not measured this router. */
  readonly hostNs: number;
  /** What a rank tells every other rank before tokens move. */
  readonly gathered: { readonly purpose: 'counts' | 'scores'; readonly bytes: number };
  /** Choices that a token has at most. */
  readonly choicesPerToken: number;
  /** Kept choices over tokens, and who says so, where fewer are expected than `choicesPerToken`. */
  readonly kept?: { readonly perToken: number; readonly source: string };
  /** Choices of each token, of all ranks, that every rank goes through to let the experts choose. */
  readonly candidatesPerToken: number;
  /** Whether the decision has weights; each row is multiplied by one, and each weight has a gradient. */
  readonly weighted: boolean;
}

/** A mistake in a configuration: a field of `moe:` and what is wrong with it. */
export interface MoeProblem {
  readonly field: string;
  readonly message: string;
}

/** Something that must hold between fields of a configuration; undefined if it does. */
export type MoeRule<Moe> = (moe: Moe, model: { readonly dModel: number }) => MoeProblem | undefined;

/** Level 2 of the routing, whole: the fields that it adds to `moe:`, its parameters, its price, its decision. */
export interface RouterPolicy<Moe extends CommonMoe = CommonMoe> {
  /** Fields of `moe:` that it reads beside the common ones, each with a default. */
  readonly fields: z.ZodRawShape;
  readonly rules: readonly MoeRule<Moe>[];
  /** Fields of its own that decide about `parameters`: a checkpoint has to agree on them. */
  readonly shapedBy: readonly string[];
  /** Parameters of one layer, by names that are short and unique in it. */
  parameters(moe: Moe, dModel: number): readonly ParameterSpec[];
  price(moe: Moe, size: { readonly numTokens: number; readonly dModel: number }): RouterPrice;
  /** Cosine of each token with the gate vector of each expert, [T, E]; null where there are no such vectors. */
  readonly gateCosines: ((moe: Moe, input: Pick<RouterInput, 'xTD' | 'parameters'>) => Tensor2D) | null;
  /** The router of one layer. Without `state` it carries nothing from step to step. */
  create(context: RouterContext<Moe>): Pick<Router, 'route'> & Partial<Pick<Router, 'state'>>;
}

/** What a router with these fields of its own reads of `moe:`. */
export type MoeWith<Fields extends z.ZodRawShape> = CommonMoe & {
  readonly [Field in keyof Fields]: z.output<Fields[Field]>;
};

/** What a router may leave out: it has no such thing. */
type Optional = 'rules' | 'shapedBy' | 'parameters' | 'gateCosines';
type Definition<Fields, Moe extends CommonMoe> = { readonly fields?: Fields } & Partial<
  Pick<RouterPolicy<Moe>, Optional>
> &
  Omit<RouterPolicy<Moe>, 'fields' | Optional>;
type Defined<Fields, Moe extends CommonMoe> = Omit<RouterPolicy<Moe>, 'fields'> & { readonly fields: Fields };

/** A router from what it has; its functions see the common fields and its own `fields`, each with its type. */
export function defineRouter<Fields extends z.ZodRawShape = Record<never, never>>(
  definition: Definition<Fields, MoeWith<NoInfer<Fields>>>,
): Defined<Fields, MoeWith<Fields>> {
  return {
    rules: [],
    shapedBy: [],
    parameters: () => [],
    gateCosines: null,
    ...definition,
    fields: definition.fields ?? ({} as Fields),
  };
}
