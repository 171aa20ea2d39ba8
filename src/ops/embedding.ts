import type * as tf from '@tensorflow/tfjs-node';
import { fusedOp } from './fused-op.js';
import { kernels } from './kernels/choose-kernels.js';

// Shapes: B sequences, S positions, T = B S tokens, d hidden size, V vocabulary, P longest sequence.

/**
 * Token embedding plus learned position embedding.
 *
 * @param tokensVD [V, d]
 * @param positionsPD [P, d], P >= S
 * @param tokenIdsT length T, row-major [B, S]
 * @param positionsT position of each token, length T; without it that in its sequence
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
