import { tf } from '../ops/tensorflow.js';

// Shapes: T tokens of this rank, E experts.

/**
 * Load-balance loss alpha n sum_i f_i P_i (Switch Transformer eq. 4; LocMoE eq. 5): f_i the share of choices that
 * went to expert i over all ranks, P_i the mean probability over this rank's tokens. It is linear in P, so its
 * mean over ranks with equally many tokens is the loss of the global batch, whatever the layout.
 *
 * @param routedByAllRanksE choices per expert summed over all ranks, length E
 * @param probsTE router probabilities, [T, E]
 */
export function balanceLoss(alpha: number, routedByAllRanksE: Float64Array, probsTE: tf.Tensor2D): tf.Scalar {
  const numExperts = routedByAllRanksE.length;
  const total = routedByAllRanksE.reduce((sum, routed) => sum + routed, 0);
  const scaledShareE = Float32Array.from(
    routedByAllRanksE,
    (routed) => (alpha * numExperts * routed) / total,
  );
  return tf.sum(tf.mul(tf.mean(probsTE, 0), tf.tensor1d(scaledShareE)));
}
