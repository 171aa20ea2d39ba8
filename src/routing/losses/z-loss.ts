import { tf } from '../../ops/tensorflow.js';
import { real } from '../numeric-fields.js';
import type { MoeWith } from '../policy.js';
import type { RouterContext } from '../router.js';
import { keepToGroup } from '../rules/group-choice.js';

// Shapes: T tokens of this rank, E experts.

export const zLossField = {
  zLossWeight: real
    .min(0)
    .default(0)
    .describe(
      'c_z of the router z-loss, which keeps the logits of a gate small; 0.001 in its paper, 0 turns it off',
    ),
};

/**
 * Adds the router z-loss c_z mean_t (log sum_i exp x_{t,i})^2 to another loss, if there is one (ST-MoE, arXiv 2202.08906, eq. 5),
 * over the experts of a token's domain. As it is a mean over tokens, its mean over ranks is that of the global batch.
 *
 * @param logitsTE x: logits of the gate without preferences of token ids, which are not trained, [T, E]
 */
export function withZLoss<Loss extends tf.Scalar | null>(
  loss: Loss,
  logitsTE: tf.Tensor2D,
  domainsT: Int32Array,
  { moe, expertsOfDomain }: RouterContext<MoeWith<typeof zLossField>>,
): Loss | tf.Scalar {
  if (moe.zLossWeight === 0) return loss;
  const logSumT = tf.logSumExp(keepToGroup(logitsTE, domainsT, expertsOfDomain), 1);
  const zLoss: tf.Scalar = tf.mul(moe.zLossWeight, tf.mean(tf.square(logSumT)));
  return loss === null ? zLoss : tf.add(loss, zLoss);
}
