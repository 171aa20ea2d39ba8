import { fusedOp } from './autograd.js';
import { kernels } from './kernels/choose-kernels.js';
import type { AttentionShape, RowScatter } from './kernels/kernels.js';
import type { Rotation } from './rotation.js';
import { tf } from './tensorflow.js';

export type { AttentionShape, RowScatter };

// The operations of the kernels, made differentiable. Shapes: B sequences, S positions, T = B S tokens or
// rows, K choices of a token, N chosen rows, H heads of queries, K of keys and values, h size of a head, d hidden size,
// V vocabulary, P longest sequence, E groups of d / E coordinates.

/** Computes x W with gradients of both: [T, a] x [a, b] -> [T, b]. */
export function matMul(xTA: tf.Tensor2D, wAB: tf.Tensor2D): tf.Tensor2D {
  return fusedOp([xTA, wAB], () => kernels().matMul(xTA, wAB, false));
}

/** Computes `matMul` in float32 at any precision, for gates: a choice of experts may depend on small differences. */
export function exactMatMul(xTA: tf.Tensor2D, wAB: tf.Tensor2D): tf.Tensor2D {
  return fusedOp([xTA, wAB], () => kernels().matMul(xTA, wAB, true));
}

/** Computes x + y for equal shapes; the addition of TensorFlow would keep its gradient until the end of the step. */
export function residual(xTD: tf.Tensor2D, yTD: tf.Tensor2D): tf.Tensor2D {
  return fusedOp([xTD, yTD], () => ({
    value: kernels().add(xTD, yTD),
    saved: [],
    backward: (dyTD) => [dyTD, dyTD.clone()],
  }));
}

/**
 * Computes the layer norm over the last axis with gain and bias (Ba et al., arXiv 1607.06450, eq. 4); epsilon 1e-5
 * inside the root as in PyTorch. [T, d] -> [T, d]
 */
export function layerNorm(xTD: tf.Tensor, gainD: tf.Tensor, biasD: tf.Tensor): tf.Tensor2D {
  return fusedOp([xTD, gainD, biasD], () => kernels().layerNorm(xTD, gainD, biasD));
}

/**
 * Returns each row divided by its root mean square, times a gain (Zhang and Sennrich, arXiv 1910.07467, eq. 4); epsilon
 * is inside the root as in Llama. [T, d] -> [T, d]. In a wider x, each d coordinates are a row, such as the heads of
 * queries: [T, H d] -> [T, H d].
 */
export function rmsNorm(xTD: tf.Tensor2D, gainD: tf.Tensor, epsilon: number): tf.Tensor2D {
  return fusedOp([xTD, gainD], () => kernels().rmsNorm(xTD, gainD, epsilon));
}

/** Computes x + b for every row: [T, d] -> [T, d]. */
export function addBias(xTD: tf.Tensor2D, biasD: tf.Tensor): tf.Tensor2D {
  return fusedOp([xTD, biasD], () => kernels().addBias(xTD, biasD));
}

/**
 * Concatenates queries, keys and values, for `causalAttention`.
 *
 * @param parts [T, H h], [T, K h] and [T, K h]; without a rotation any columns
 * @param rotation turns queries and keys
 * @returns [T, (H + 2 K) h]
 */
export function queriesKeysValues(
  parts: readonly tf.Tensor2D[],
  rotation: Rotation | null,
  shape: AttentionShape,
): tf.Tensor2D {
  return fusedOp(parts, () => kernels().rotate(parts, rotation, shape));
}

/** Returns the Euclidean norm of each row: [T, d] -> length T. */
export function rowNorms(xTD: tf.Tensor2D): Float64Array {
  return kernels().rowNorms(xTD);
}

/**
 * Returns each row divided by its length: x_t / sqrt(|x_t|^2 + least).
 *
 * @param xTD [T, d]
 * @param least keeps the result finite for a row of zeros
 * @returns [T, d]
 */
export function unitRows(xTD: tf.Tensor2D, least: number): tf.Tensor2D {
  return fusedOp([xTD], () => kernels().unitRows(xTD, least));
}

/**
 * Computes the products of each row with unit vectors that are constant on one group and zero elsewhere, times factors:
 * sum over the group of x_{t,i} b_i / sqrt(d / E), [T, d] -> [T, E]. Without factors they are x . w_i / |w_i| of the gates w_i of
 * GrAP (LocMoE, arXiv 2401.13920, eq. 4), of unit variance for independent coordinates of unit variance, whatever d and E.
 *
 * @param factorsD b, [d]; null for ones
 * @throws RangeError if E does not divide d
 */
export function groupProducts(
  xTD: tf.Tensor2D,
  numGroups: number,
  factorsD: tf.Tensor1D | null,
): tf.Tensor2D {
  const d = xTD.shape[1];
  if (d % numGroups !== 0) throw new RangeError(`${d} coordinates are no ${numGroups} groups of equal size`);
  return fusedOp(factorsD === null ? [xTD] : [xTD, factorsD], () =>
    kernels().groupProducts(xTD, numGroups, factorsD),
  );
}

/**
 * Computes softmax(q k^T / sqrt(h) + causal mask) v for every head (Vaswani et al., arXiv 1706.03762, eq. 1). The
 * backward pass recomputes the probabilities, as in FlashAttention (arXiv 2205.14135, B.2).
 *
 * @param qkvTC [T, (H + 2 K) h]: H heads of queries, K of keys and K of values
 * @returns [T, d]
 */
export function causalAttention(qkvTC: tf.Tensor2D, shape: AttentionShape): tf.Tensor2D {
  return fusedOp([qkvTC], () => kernels().causalAttention(qkvTC, shape));
}

/**
 * Adds token embedding and learned position embedding.
 *
 * @param positionsPD [P, d], P >= S
 * @param tokenIdsT length T, row-major [B, S]
 * @param positionsT position of each token, length T; by default, the position in its sequence
 * @returns [T, d]
 */
export function embedding(
  tokensVD: tf.Tensor2D,
  positionsPD: tf.Tensor2D,
  tokenIdsT: Int32Array,
  seqLen: number,
  positionsT?: Int32Array,
): tf.Tensor2D {
  return fusedOp([tokensVD, positionsPD], () =>
    kernels().embedding(tokensVD, positionsPD, tokenIdsT, seqLen, positionsT),
  );
}

/**
 * Computes the cross-entropy of each token under softmax(x E^T), where E is the tied embedding: both matrix products,
 * softmax and loss in one operation. It needs no one-hot matrix of size [T, V], and applies normaliser and loss
 * gradient to the narrow matrices on either side of exp(logits) instead of to exp(logits).
 *
 * @param targetsT vocabulary ids, length T
 * @returns [T] in nats
 */
export function tiedCrossEntropy(
  xTD: tf.Tensor2D,
  embeddingVD: tf.Tensor2D,
  targetsT: Int32Array,
): tf.Tensor1D {
  return fusedOp([xTD, embeddingVD], () => kernels().tiedCrossEntropy(xTD, embeddingVD, targetsT));
}

/**
 * Returns the rows of x by index; a row may occur several times or never: [T, d] -> [N, d].
 *
 * @param indicesN length N, each in [0, T)
 */
export function gatherRows(xTD: tf.Tensor2D, indicesN: Int32Array): tf.Tensor2D {
  if (indicesN.length === 0) return nothingOf([xTD], [0, xTD.shape[1]]);
  return fusedOp([xTD], () => kernels().gatherRows(xTD, indicesN));
}

/**
 * Computes the weighted sum of expert outputs in token order: y_t = sum over the rows of token t of weight * row
 * (LocMoE eq. 1). A token without rows gets zero. [N, d] -> [T, d]
 *
 * @param weightsTK [T, K]; null for weights of 1
 */
export function scatterRows(
  rowsND: tf.Tensor2D,
  weightsTK: tf.Tensor2D | null,
  scatter: RowScatter,
): tf.Tensor2D {
  const inputs = weightsTK ? [rowsND, weightsTK] : [rowsND];
  if (scatter.tokensN.length === 0) return nothingOf(inputs, [scatter.numTokens, rowsND.shape[1]]);
  return fusedOp(inputs, () => kernels().scatterRows(rowsND, weightsTK, scatter));
}

/** Returns zeros, as TensorFlow refuses empty indices; connected inputs let every rank run the backward pass. */
function nothingOf(inputs: readonly tf.Tensor[], shape: [number, number]): tf.Tensor2D {
  return fusedOp(inputs, () => ({
    value: tf.zeros(shape),
    saved: [],
    backward: () => inputs.map((input) => tf.zeros(input.shape)),
  }));
}
