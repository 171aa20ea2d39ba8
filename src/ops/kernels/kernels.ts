import type { tf } from '../tensorflow.js';

// Shapes: T rows or tokens, N chosen rows, a and b widths, d hidden size, F hidden size of a feed-forward network,
// V vocabulary, P longest sequence.

export interface FusedForward<Saved extends readonly tf.Tensor[] = readonly tf.Tensor[]> {
  readonly value: tf.Tensor;
  /** Kept for `backward` if a gradient is recorded, else freed. */
  readonly saved: Saved;
  /**
   * Gradients of the inputs, in their order, from the gradient of the value and the saved tensors: distinct
   * tensors, one of which may be `dy` itself; undefined for one that is unwanted (ops/gradient-target.ts).
   */
  backward(dy: tf.Tensor, saved: Saved): (tf.Tensor | undefined)[];
}

export interface AttentionShape {
  readonly numSequences: number;
  readonly seqLen: number;
  /** Heads of queries. */
  readonly numHeads: number;
  /** Heads of keys and values, each of which as many heads of queries share; `numHeads` if not given. */
  readonly numKeyValueHeads?: number;
  /**
   * Length T: the position of each token in its segment, counted from 0, which begins one; no query sees a key of
   * another. Without it every sequence is one segment.
   */
  readonly positionsT?: Int32Array | undefined;
}

export function keyValueHeadsOf({
  numHeads,
  numKeyValueHeads = numHeads,
}: Pick<AttentionShape, 'numHeads' | 'numKeyValueHeads'>): number {
  return numKeyValueHeads;
}

export interface RowScatter {
  readonly numTokens: number;
  /** The token that each row goes to, length N. */
  readonly tokensN: Int32Array;
  /** The element of the flattened [T, K] weights that scales each row, length N. */
  readonly choicesN: Int32Array;
}

/**
 * The matrices of a feed-forward network: W_in [d, F] and W_out [F, d] of W_out GELU(W_in x); or W_gate, W_in and W_out of
 * SwiGLU (Shazeer, arXiv 2002.05202, eq. 6), W_out (SiLU(W_gate x) * (W_in x)).
 */
export type FeedForwardWeights = readonly tf.Tensor2D[];

/** Tells W_out from the matrices into the hidden units. */
export function partsOf<T>(matrices: readonly T[]): { readonly wIns: readonly T[]; readonly wOut: T } {
  return { wIns: matrices.slice(0, -1), wOut: matrices.at(-1)! };
}

/** How the rows of a network come: as many at every step, more or fewer, or so and in pieces. */
export type FeedForwardRows = 'fixed' | 'varying' | 'in pieces';

/**
 * A feed-forward network on rows that may come in pieces: forward and backward of each piece, then the gradients of the
 * matrices from all of them. A row's bits do not depend on its piece.
 */
export interface FeedForwardNetwork {
  /** @returns y [T, d], and what the backward needs */
  forward(
    xTD: tf.Tensor2D,
    weights: FeedForwardWeights,
  ): { readonly y: tf.Tensor2D; readonly saved: readonly tf.Tensor[] };
  /** @returns dx [T, d], and what the gradients need */
  backward(
    dyTD: tf.Tensor2D,
    weights: FeedForwardWeights,
    saved: readonly tf.Tensor[],
  ): { readonly dx: tf.Tensor2D; readonly kept: readonly tf.Tensor[] };
  /**
   * Gradients of the matrices, undefined if unwanted.
   *
   * @param pieces at least one, in the order of their rows
   */
  gradients(pieces: readonly FeedForwardPiece[], weights: FeedForwardWeights): (tf.Tensor | undefined)[];
}

export interface FeedForwardPiece {
  readonly dyTD: tf.Tensor2D;
  readonly saved: readonly tf.Tensor[];
  readonly kept: readonly tf.Tensor[];
}

/**
 * The operations of a step that take time. Those of ops/ are these made differentiable, and say what each computes;
 * what is kept for a backward is for the same kernels alone.
 */
export interface Kernels {
  readonly name: 'onednn' | 'tensorflow';
  /** Name with version and precision, for people. */
  readonly description: string;
  /** A tensor in memory that is quick to get; write its elements, which are arbitrary, before it is used. */
  create(shape: readonly number[]): { readonly tensor: tf.Tensor; readonly values: Float32Array };
  /** @param exact whether operands stay float32 whatever the precision */
  matMul(xTA: tf.Tensor2D, wAB: tf.Tensor2D, exact: boolean): FusedForward;
  network(rows: FeedForwardRows): FeedForwardNetwork;
  layerNorm(xTD: tf.Tensor, gainD: tf.Tensor, biasD: tf.Tensor): FusedForward;
  causalAttention(qkvTC: tf.Tensor2D, shape: AttentionShape): FusedForward;
  tiedCrossEntropy(xTD: tf.Tensor2D, embeddingVD: tf.Tensor2D, targetsT: Int32Array): FusedForward;
  /** @param positionsT as in `AttentionShape` */
  embedding(
    tokensVD: tf.Tensor2D,
    positionsPD: tf.Tensor2D,
    tokenIdsT: Int32Array,
    seqLen: number,
    positionsT?: Int32Array,
  ): FusedForward;
  /** Sum of two tensors of a shape. */
  add(x: tf.Tensor, y: tf.Tensor): tf.Tensor;
  /** At least one row. */
  gatherRows(xTD: tf.Tensor2D, indicesN: Int32Array): FusedForward;
  /** At least one row. */
  scatterRows(rowsND: tf.Tensor2D, weightsTK: tf.Tensor2D | null, scatter: RowScatter): FusedForward;
  /** Consecutive rows of a matrix. */
  sliceRows(xTD: tf.Tensor2D, begin: number, count: number): tf.Tensor2D;
  /** One matrix below another; at least one. */
  concatRows(parts: readonly tf.Tensor2D[]): tf.Tensor2D;
  /** Rounds to bfloat16, as ops/bfloat16.ts. @param to as long as `from` */
  narrow(from: Float32Array, to: Uint16Array): void;
  /** The reverse. */
  widen(from: Uint16Array, to: Float32Array): void;
  /**
   * x W on the host, row-major: [T, a] x [a, b] -> [T, b]. A row's bits are those of `matMul`.
   *
   * @param numRows T
   */
  hostRowsProduct(xTA: Float32Array, numRows: number, wAB: tf.Tensor): Float32Array;
}
