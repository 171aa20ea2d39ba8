import type { Rotation } from '../rotation.js';
import type { tf } from '../tensorflow.js';

// Shapes: T rows or tokens, N chosen rows, a and b widths, d hidden size, F hidden size of a feed-forward
// network, V vocabulary, P longest sequence.

export interface FusedForward<Saved extends readonly tf.Tensor[] = readonly tf.Tensor[]> {
  readonly value: tf.Tensor;
  /** Kept for `backward` if a gradient is recorded, otherwise freed. */
  readonly saved: Saved;
  /**
   * Computes the gradients of the inputs, in their order, from the gradient of the value and the saved tensors:
   * distinct tensors, one of which may be `dy` itself; undefined for one that is unwanted (ops/gradient-target.ts).
   */
  backward(dy: tf.Tensor, saved: Saved): (tf.Tensor | undefined)[];
}

export interface AttentionShape {
  readonly numSequences: number;
  readonly seqLen: number;
  /** Heads of queries. */
  readonly numHeads: number;
  /** Heads of keys and values, each shared by equally many heads of queries; `numHeads` by default. */
  readonly numKeyValueHeads?: number;
  /**
   * Length T: the position of each token in its segment. A position of 0 starts a segment; no query attends
   * to a key of another segment. Without it, every sequence is one segment.
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
  /** The token to which each row is added, length N. */
  readonly tokensN: Int32Array;
  /** The element of the flattened [T, K] weights that scales each row, length N. */
  readonly choicesN: Int32Array;
}

/**
 * The matrices of a feed-forward network: W_in [d, F] and W_out [F, d] of W_out GELU(W_in x); or W_gate, W_in
 * and W_out of SwiGLU (Shazeer, arXiv 2002.05202, eq. 6), W_out (SiLU(W_gate x) * (W_in x)).
 */
export type FeedForwardWeights = readonly tf.Tensor2D[];

/** Separates W_out from the matrices that compute the hidden units. */
export function partsOf<T>(matrices: readonly T[]): { readonly wIns: readonly T[]; readonly wOut: T } {
  return { wIns: matrices.slice(0, -1), wOut: matrices.at(-1)! };
}

/** Rows of a network: the same number at every step, a varying number, or a varying number in several pieces. */
export type FeedForwardRows = 'fixed' | 'varying' | 'in pieces';

/**
 * A feed-forward network on rows that may come in several pieces: forward and backward pass of each piece,
 * then the gradients of the matrices from all of them. The bits of a row do not depend on its piece.
 */
export interface FeedForwardNetwork {
  /** @returns y [T, d], and what the backward pass needs */
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
   * Returns the gradients of the matrices, undefined if unwanted.
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
 * Reads tensors whose values are not needed at once, as gradients are not. A device goes on computing, and gives many of them
 * together.
 */
export interface DeferredReads {
  /**
   * Hands over the elements of a tensor: on the processor at once, otherwise at the latest in `finish`. The tensor may be freed before.
   *
   * @param use must not read another tensor
   */
  add(tensor: tf.Tensor, use: (values: Float32Array) => void): void;
  /** Reads what has not been read yet. */
  finish(): void;
  /** Forgets what has not been read yet. */
  drop(): void;
}

/** AdamW computes with these numbers in a step; `decay` and `epsilon` differ by kind of parameter (worker/optimizer.ts). */
export interface AdamWNumbers {
  /** Factor on every gradient, which allows clipping without a separate pass. */
  readonly gradientScale: number;
  /** 1 - beta1 */
  readonly gain1: number;
  /** 1 - beta2 */
  readonly gain2: number;
  /** Learning rate times weight decay. */
  readonly decay: number;
  /** Learning rate with the bias correction of m. */
  readonly stepSize: number;
  /** Bias correction of the root of v. */
  readonly vScale: number;
  readonly epsilon: number;
}

/** A parameter with its gradient and Adam's moments, of equal shape. */
export interface AdamWState {
  readonly value: tf.Tensor;
  /** It is null if all elements are zero. */
  readonly gradient: tf.Tensor | null;
  readonly m: tf.Tensor;
  readonly v: tf.Tensor;
}

/** Updates of parameters that stay on a device. */
export interface DeviceUpdates {
  /**
   * Returns the sum of the squares of all elements, for which it waits. Squares are float32, so that an element beyond 1.8e19 makes it
   * infinite.
   */
  squaredNorm(tensors: readonly tf.Tensor[]): number;
  /** Does one AdamW update in place. */
  adamW(state: AdamWState, numbers: AdamWNumbers): void;
}

/**
 * The time-consuming operations of a step. The operations of ops/ make them differentiable and document what
 * each computes; what is kept for a backward pass can only be used by the same kernels.
 */
export interface Kernels {
  readonly name: 'onednn' | 'tensorflow' | 'webgpu';
  /** Name with version and precision, for people. */
  readonly description: string;
  /** Allocates a tensor quickly; its elements are arbitrary and must be written before it is used. */
  create(shape: readonly number[]): { readonly tensor: tf.Tensor; readonly values: Float32Array };
  deferredReads(): DeferredReads;
  /** It is null on the processor, where parameters are in flat arrays of the host. */
  readonly updates: DeviceUpdates | null;
  /** @param exact whether operands stay float32 regardless of the precision */
  matMul(xTA: tf.Tensor2D, wAB: tf.Tensor2D, exact: boolean): FusedForward;
  network(rows: FeedForwardRows): FeedForwardNetwork;
  layerNorm(xTD: tf.Tensor, gainD: tf.Tensor, biasD: tf.Tensor): FusedForward;
  /** @param xTD may be wider than the gain: each d coordinates are a row */
  rmsNorm(xTD: tf.Tensor2D, gainD: tf.Tensor, epsilon: number): FusedForward;
  addBias(xTD: tf.Tensor2D, biasD: tf.Tensor): FusedForward;
  rowNorms(xTD: tf.Tensor2D): Float64Array;
  unitRows(xTD: tf.Tensor2D, least: number): FusedForward;
  groupProducts(xTD: tf.Tensor2D, numGroups: number, factorsD: tf.Tensor1D | null): FusedForward;
  /** Concatenates the columns of the parts, of which a rotation turns the first two. */
  rotate(parts: readonly tf.Tensor2D[], rotation: Rotation | null, shape: AttentionShape): FusedForward;
  causalAttention(qkvTC: tf.Tensor2D, shape: AttentionShape): FusedForward;
  /** Requires at least one row. */
  tiedCrossEntropy(xTD: tf.Tensor2D, embeddingVD: tf.Tensor2D, targetsT: Int32Array): FusedForward;
  /** @param positionsT as in `AttentionShape` */
  embedding(
    tokensVD: tf.Tensor2D,
    positionsPD: tf.Tensor2D,
    tokenIdsT: Int32Array,
    seqLen: number,
    positionsT?: Int32Array,
  ): FusedForward;
  /** Returns the sum of two tensors of equal shape. */
  add(x: tf.Tensor, y: tf.Tensor): tf.Tensor;
  /** Requires at least one row. */
  gatherRows(xTD: tf.Tensor2D, indicesN: Int32Array): FusedForward;
  /** Requires at least one row. */
  scatterRows(rowsND: tf.Tensor2D, weightsTK: tf.Tensor2D | null, scatter: RowScatter): FusedForward;
  /** Returns consecutive rows of a matrix. */
  sliceRows(xTD: tf.Tensor2D, begin: number, count: number): tf.Tensor2D;
  /** Concatenates one or more matrices vertically. */
  concatRows(parts: readonly tf.Tensor2D[]): tf.Tensor2D;
  /** Rounds to bfloat16, as in ops/bfloat16.ts; `to` is as long as `from`. */
  narrow(from: Float32Array, to: Uint16Array): void;
  /** Inverts `narrow`, without rounding. */
  widen(from: Uint16Array, to: Float32Array): void;
  /**
   * Computes x W on the host, row-major: [T, a] x [a, b] -> [T, b]. The bits of a row are the same as from `matMul`.
   *
   * @param numRows T
   */
  hostRowsProduct(xTA: Float32Array, numRows: number, wAB: tf.Tensor): Float32Array;
}
