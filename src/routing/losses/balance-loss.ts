import { weightedMean } from '../../ops/elementwise.js';
import type { tf } from '../../ops/tensorflow.js';

// Shapes: T tokens of this rank, E experts.

/**
 * Computes the load-balance loss alpha n sum_i f_i P_i (Switch Transformer, arXiv 2101.03961, eq. 4; LocMoE, arXiv
 * 2401.13920, eq. 5). f_i is the share of choices of expert i over all ranks, P_i its mean probability over the tokens
 * of this rank. The loss is linear in P: its mean over ranks is that of the global batch in every layout.
 *
 * @param weight alpha n
 * @param routedByAllRanksE choices per expert summed over all ranks, length E
 * @param probsTE router probabilities, [T, E]
 */
export function balanceLoss(
  weight: number,
  routedByAllRanksE: Float64Array,
  probsTE: tf.Tensor2D,
): tf.Scalar {
  const total = routedByAllRanksE.reduce((sum, routed) => sum + routed, 0);
  return weightedMean(
    probsTE,
    Float64Array.from(routedByAllRanksE, (routed) => (weight * routed) / total),
  );
}
