import { partsOf, type Rule } from '../architecture/rule.js';
import type { CommonMoe } from './common-fields.js';

// Shapes: T tokens of a rank, d hidden size, E experts, K choices of a token.

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

const READ_ACTIVATIONS: ReadonlySet<string> = new Set(['linear', 'cosine', 'grouped', 'groupedCosine']);

/**
 * Returns the price of a router whose choices a capacity alone drops, estimated from its rule. Without a rule its gate is free and a
 * token has one choice.
 */
export function priceOfRule(
  rule: Rule | null,
  { numExperts: E }: CommonMoe,
  { numTokens: T, dModel: d }: { readonly numTokens: number; readonly dModel: number },
): RouterPrice {
  const scores =
    rule === null ? [] : [...(rule.choose.op === 'table' ? [] : [rule.choose.by]), rule.weigh.by];
  // Parts that are one object are computed once.
  const parts = new Set(scores.flatMap((each) => [...partsOf(each)]));
  const numProducts = [...parts].filter(({ op }) => READ_ACTIVATIONS.has(op)).length;
  const K = rule === null || rule.choose.op === 'table' ? 1 : rule.choose.count;
  // A part of a rule reads and writes [T, E]; the weights of the choices are gathered, and the loss takes a mean of probabilities.
  const touched = 3 * T * (E * parts.size + d * numProducts) + 8 * T * K;
  const operations = 3 * parts.size + 10;
  return {
    forward: { flops: 2 * T * d * E * numProducts, touched, operations },
    backward: { flops: 4 * T * d * E * numProducts, touched, operations },
    hostNs: parts.size === 0 ? 0 : 10 * K * E,
    gathered: { purpose: 'counts', bytes: 4 * E },
    choicesPerToken: K,
    candidatesPerToken: 0,
    weighted: true,
  };
}
