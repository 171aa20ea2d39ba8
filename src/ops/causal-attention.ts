import type * as tf from '@tensorflow/tfjs-node';
import { fusedOp } from './fused-op.js';
import { kernels } from './kernels/choose-kernels.js';
import type { AttentionShape } from './kernels/kernels.js';

export type { AttentionShape };

/**
 * softmax(q k^T / sqrt(h) + causal mask) v for every head (Vaswani et al., arXiv 1706.03762, eq. 1). The backward
 * computes the probabilities again, as FlashAttention does (arXiv 2205.14135, B.2).
 *
 * @param qkvTC [T, 3 d]: queries, keys, values, each with H heads
 * @returns [T, d]
 */
export function causalAttention(qkvTC: tf.Tensor2D, shape: AttentionShape): tf.Tensor2D {
  return fusedOp([qkvTC], () => kernels().causalAttention(qkvTC, shape));
}
