import type * as tf from '@tensorflow/tfjs-node';
import { fusedOp } from './fused-op.js';
import { kernels } from './kernels/choose-kernels.js';

// Shapes: T tokens, d hidden size, V vocabulary.

/**
 * Cross-entropy of each token under softmax(x E^T), E the tied embedding: both matrix products, softmax and
 * loss in one operation. It needs no one-hot of size [T, V], and applies normaliser and loss gradient to the
 * narrow matrices on either side of exp(logits) instead of to it.
 *
 * @param xTD [T, d]
 * @param embeddingVD [V, d]
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
