import type * as tf from '@tensorflow/tfjs-node';
import { fusedOp } from './fused-op.js';
import { kernels } from './kernels/choose-kernels.js';

// Shapes: T rows, d hidden size.

/**
 * Layer norm over the last axis with gain and bias (Ba et al., arXiv 1607.06450, eq. 4); epsilon 1e-5 inside
 * the root as in PyTorch.
 *
 * @param xTD [T, d]
 * @param gainD [d]
 * @param biasD [d]
 * @returns [T, d]
 */
export function layerNorm(xTD: tf.Tensor, gainD: tf.Tensor, biasD: tf.Tensor): tf.Tensor2D {
  return fusedOp([xTD, gainD, biasD], () => kernels().layerNorm(xTD, gainD, biasD));
}
