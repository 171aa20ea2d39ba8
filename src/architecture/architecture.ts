import type { Rule } from './rule.js';

// A model as data: what is computed with which parameters, outside training. Generation, export, the planner and the
// reference read it (docs/models.md). Shapes: S positions, d hidden size, H heads of queries, K of keys and values, h size
// of a head, F hidden size of a feed-forward network, E experts, D domains, V vocabulary.

/** A tensor of a checkpoint; a parameter, or state of a router. */
export interface Parameter {
  readonly name: string;
  readonly shape: readonly number[];
}

/** Normalises the rows, or each head. */
export type Norm =
  /** (x - mean) / sqrt(variance + epsilon) gain + bias. */
  | { readonly op: 'layerNorm'; readonly gain: Parameter; readonly bias: Parameter; readonly epsilon: number }
  /** x / sqrt(mean of squares + epsilon) gain. */
  | { readonly op: 'rmsNorm'; readonly gain: Parameter; readonly epsilon: number };

/** Columns that a matrix gives to the attention. */
export interface Projection {
  /** Queries, keys or values, in the order of the columns. */
  readonly gives: readonly ('queries' | 'keys' | 'values')[];
  /** Rows that are multiplied: the block's normalised input, or this embedding of the positions, [S, d]. */
  readonly of: 'input' | Parameter;
  /** [d, columns] */
  readonly weight: Parameter;
  /** Added to the columns. */
  readonly bias: Parameter | null;
  /** Applied to each head after the bias. */
  readonly headNorm: Norm | null;
}

/** Causal self-attention: softmax(q k^T / sqrt(h)) v of each head, times `out`. */
export interface Attention {
  readonly op: 'attention';
  readonly numHeads: number;
  /** Each head of keys and values serves `numHeads / numKeyValueHeads` consecutive heads of queries. */
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  readonly projections: readonly Projection[];
  /**
   * Angles, in radians per position, by which coordinate i and i + h / 2 of the heads of queries and keys are rotated, length
   * h / 2; null for no rotation.
   */
  readonly rotation: readonly number[] | null;
  /** [H h, d] */
  readonly out: Parameter;
}

/** W_out gelu(W_in x), with the tanh form of GELU, or W_out (silu(W_gate x) * W_in x). */
export interface FeedForward {
  readonly op: 'feedForward';
  readonly activation: 'gelu' | 'swiglu';
  /** [d, F]: W_in, after W_gate if the activation has one. */
  readonly into: readonly Parameter[];
  /** [F, d] */
  readonly out: Parameter;
}

/** Weighted sum of the outputs of each token's experts (LocMoE, arXiv 2401.13920, eq. 1), and of shared experts. */
export interface Experts {
  readonly op: 'experts';
  /** Null for a router that has no rule as data. */
  readonly rule: Rule<Parameter> | null;
  readonly numExperts: number;
  /** Ids of the experts that the model has, first and number. */
  readonly held: { readonly first: number; readonly count: number };
  /** Network of each expert; names of parameters have `*` in the place of the id. */
  readonly network: FeedForward;
  /** One network of all shared experts, which every token passes through, times sigmoid(x gate), gate [d, 1]. */
  readonly shared: { readonly network: FeedForward; readonly gate: Parameter | null } | null;
}

/** x + operation(norm(x)). */
export interface Block {
  /** Layer of the block: `layers.0`, from the bottom, or `query`. */
  readonly layer: string;
  readonly norm: Norm;
  readonly operation: Attention | FeedForward | Experts;
}

export interface Architecture {
  readonly vocabSize: number;
  readonly dModel: number;
  /** Most positions of a sequence. */
  readonly seqLen: number;
  /** Ids of the experts that a domain may use (level 1), by domain. */
  readonly expertsOfDomain: readonly (readonly number[])[];
  /** Embedding of the tokens, [V, d]. */
  readonly tokens: Parameter;
  /** Embedding of the positions, [S, d], which is added. */
  readonly positions: Parameter | null;
  /** From the bottom. */
  readonly blocks: readonly Block[];
  /** Final norm. */
  readonly norm: Norm;
  /** Logits are the product with this matrix, [V, d]. */
  readonly head: Parameter;
}

/** Returns the parameter of one expert. */
export function ofExpert({ name, shape }: Parameter, expert: number): Parameter {
  return { name: name.replace('*', String(expert)), shape };
}

/** Returns the network of one expert. */
export function networkOfExpert({ into, out, ...network }: FeedForward, expert: number): FeedForward {
  return { ...network, into: into.map((each) => ofExpert(each, expert)), out: ofExpert(out, expert) };
}
