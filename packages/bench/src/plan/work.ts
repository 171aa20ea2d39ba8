import { expertWidthOf, type RunConfig } from 'locmoe/internal/config/schema';
import { type Family, familyOf } from 'locmoe/internal/model/family';
import { numScores } from 'locmoe/internal/ops/kernels/tensorflow/attention-blocks';
import type { Work } from 'locmoe/internal/routing/index';
import { routerPrice } from './routing-model.js';

// Shapes: T tokens, B sequences of S positions, d hidden size, F feed-forward size, H heads, C width of
// queries, keys and values together, V vocabulary, E experts, R rows of a rank's experts in a layer.

export interface PassWork {
  readonly forward: Work;
  readonly backward: Work;
}

export const MODEL_PARTS = [
  'embedding',
  'dense layers',
  'sparse attention',
  'router',
  'experts',
  'shared experts',
  'query layer',
  'softmax',
] as const;
export type ModelPart = (typeof MODEL_PARTS)[number];
export type ModelWork = Readonly<Record<ModelPart, PassWork>>;

/** Work of one rank in a step. */
export interface RankLoad {
  readonly sequences: number;
  /** Rows of its experts in one sparse layer. */
  readonly rows: number;
  /** Experts per sparse layer whose weights it holds. */
  readonly experts: number;
}

/**
 * Returns the work of one rank in one step, by part of the model. Matrix products are counted exactly; the
 * backward of a product is two of its size. `touched` and `operations` follow src/model/ op by op: a compiled
 * part (ops/compiled.ts) is one operation that touches its inputs and outputs, and reading a parameter or
 * saving a tensor for the backward pass counts as one.
 */
export function modelWork(config: RunConfig, load: RankLoad): ModelWork {
  const { numDenseLayers, numSparseLayers, queryLayer } = config.model;
  const size = sizesOf(config, load);
  const half = attentionHalf(size);
  return {
    embedding: embedding(size),
    'dense layers': times(numDenseLayers, plus(half, feedForwardHalf(size))),
    'sparse attention': times(numSparseLayers, plus(half, norm(size))),
    router: times(numSparseLayers, routerPrice(config, size.T)),
    experts: times(numSparseLayers, expertWork(config, size, load)),
    'shared experts': times(numSparseLayers, sharedWork(config, size)),
    'query layer': queryLayer ? queryWork(size) : NOTHING,
    softmax: plus(norm(size), softmax(size)),
  };
}

export function timesWork(count: number, work: ModelWork): ModelWork {
  return Object.fromEntries(MODEL_PARTS.map((part) => [part, times(count, work[part])])) as ModelWork;
}

export function totalWork(work: ModelWork): PassWork {
  return plus(...MODEL_PARTS.map((part) => work[part]));
}

interface Sizes {
  readonly T: number;
  readonly S: number;
  readonly d: number;
  readonly F: number;
  readonly H: number;
  readonly V: number;
  readonly family: Family;
}

function sizesOf({ model }: RunConfig, { sequences }: RankLoad): Sizes {
  const { seqLen: S, dModel: d, dFeedForward: F, numHeads: H, vocabSize: V } = model;
  return { T: sequences * S, S, d, F, H, V, family: familyOf({ model }) };
}

function work(flops: number, touched: number, operations: number): Work {
  return { flops, touched, operations };
}

const NOTHING: PassWork = { forward: work(0, 0, 0), backward: work(0, 0, 0) };

function sumOf(works: readonly Work[]): Work {
  const sum = (of: keyof Work) => works.reduce((total, each) => total + each[of], 0);
  return work(sum('flops'), sum('touched'), sum('operations'));
}

function plus(...passes: readonly PassWork[]): PassWork {
  return {
    forward: sumOf(passes.map(({ forward }) => forward)),
    backward: sumOf(passes.map(({ backward }) => backward)),
  };
}

function times(count: number, { forward, backward }: PassWork): PassWork {
  const scale = ({ flops, touched, operations }: Work) =>
    work(count * flops, count * touched, count * operations);
  return { forward: scale(forward), backward: scale(backward) };
}

function embedding({ T, d, V, family: { hasPositions } }: Sizes): PassWork {
  return hasPositions
    ? { forward: work(0, 4 * T * d, 8), backward: work(0, 2 * T * d + V * d, 5) }
    : { forward: work(0, 2 * T * d, 2), backward: work(0, T * d + V * d, 2) };
}

function norm({ T, d }: Pick<Sizes, 'T' | 'd'>): PassWork {
  return { forward: work(0, 2 * T * d, 8), backward: work(0, 3 * T * d, 1) };
}

/** Returns the work of a weight matrix [a, b] applied to T rows. */
function product(T: number, a: number, b: number): PassWork {
  return { forward: work(2 * T * a * b, 0, 2), backward: work(4 * T * a * b, 0, 2) };
}

/**
 * Returns the work of scores, softmax and weighted sum of all heads; the backward pass recomputes the scores.
 *
 * @param d total width of all queries
 */
function attentionCore({ T, S, H }: Sizes, C: number, d: number): PassWork {
  const product = 2 * (T / S) * numScores(S) * d;
  return {
    forward: work(2 * product, T * (C + d + H), 5),
    backward: work(5 * product, T * (2 * C + 2 * d + H), 1),
  };
}

/** Returns the work of x + y; the backward pass adds the gradients of both branches. */
function residual({ T, d }: Sizes): PassWork {
  return { forward: work(0, 3 * T * d, 1), backward: work(0, 3 * T * d, 2) };
}

function attentionHalf(size: Sizes): PassWork {
  const { T, d } = size;
  const { columns, attended, matrices } = projections(size);
  return plus(
    norm(size),
    matrices,
    attentionCore(size, columns, attended),
    product(T, attended, d),
    residual(size),
  );
}

/** Counts the work of queries, keys and values; outputs of several matrices are concatenated, gradients of x summed. */
function projections({ T, d, family }: Sizes) {
  const { matrices: widths, biased, normed, attended } = family.projection.widths(d);
  const columns = widths.reduce((sum, width) => sum + width, 0);
  const others = widths.length - 1;
  const moves = {
    forward: work(0, 2 * T * columns, 0),
    backward: work(0, T * (2 * columns + 3 * others * d), others),
  };
  const products = widths.map((width) => product(T, d, width));
  const biases = biased.map((width) => ({
    forward: work(0, 2 * T * width, 2),
    backward: work(0, T * width, 1),
  }));
  const onRows = [...biases, ...normed.map((width) => norm({ T, d: width }))];
  return { columns, attended, matrices: plus(...products, ...onRows, ...(others === 0 ? [] : [moves])) };
}

/** Returns the work of a network on all tokens with a compiled activation, which the backward pass recomputes. */
function feedForward({ T, d, F, family }: Sizes): PassWork {
  const matrices = family.feedForward.length;
  const others = matrices - 2;
  return {
    forward: work(2 * matrices * T * d * F, matrices * T * F, 10 + 2 * others),
    backward: work(4 * matrices * T * d * F, 2 * matrices * T * F + 3 * others * T * d, 5 + 3 * others),
  };
}

/** Returns the work of the networks of `experts` experts on `rows` rows, not compiled. */
function expertNetworks(
  { d, F, family }: Pick<Sizes, 'd' | 'F' | 'family'>,
  rows: number,
  experts: number,
): PassWork {
  const matrices = family.feedForward.length;
  // Numbers that operations touch for each hidden unit, and numbers of operations.
  const [forward, backward] =
    matrices === 2 ? [work(0, 14, 16), work(0, 32, 20)] : [work(0, 8, 12), work(0, 23 + (3 * d) / F, 22)];
  return {
    forward: work(2 * matrices * rows * d * F, forward.touched * rows * F, forward.operations * experts),
    backward: work(
      4 * matrices * rows * d * F,
      backward.touched * rows * F + 2 * experts * d * F,
      backward.operations * experts,
    ),
  };
}

function feedForwardHalf(size: Sizes): PassWork {
  return plus(norm(size), feedForward(size), residual(size));
}

function expertWork(config: RunConfig, size: Sizes, { rows, experts }: RankLoad): PassWork {
  const { T, d } = size;
  const weighted = routerPrice(config, T).weighted ? 1 : 0;
  // Gather, split by expert, concatenate, scatter-add, and the copies into and out of the exchanges.
  const moves = {
    forward: work(0, (11 + 2 * weighted) * rows * d + 4 * T * d, 18),
    backward: work(0, (12 + 6 * weighted) * rows * d + 4 * T * d, 16),
  };
  return plus(expertNetworks({ d, F: expertWidthOf(config), family: size.family }, rows, experts), moves);
}

/** Returns the work of one network on all tokens, and of the sum with the routed experts. */
function sharedWork(config: RunConfig, size: Sizes): PassWork {
  const { sharedExperts } = config.moe;
  if (sharedExperts === 0) return NOTHING;
  return plus(feedForward({ ...size, F: sharedExperts * expertWidthOf(config) }), residual(size));
}

function queryWork(size: Sizes): PassWork {
  const { T, S, d } = size;
  return plus(
    norm(size),
    product(T, d, 2 * d),
    product(S, d, d),
    { forward: work(0, 9 * T * d, 5), backward: work(0, 9 * T * d, 8) },
    attentionCore(size, 3 * d, d),
    product(T, d, d),
    residual(size),
    feedForwardHalf(size),
  );
}

function softmax({ T, d, V }: Sizes): PassWork {
  return {
    forward: work(2 * T * V * d, 2 * T * V + 4 * T * d, 12),
    backward: work(4 * T * V * d, 14 * T * d + 6 * V * d, 20),
  };
}
