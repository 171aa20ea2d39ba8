import * as tf from '@tensorflow/tfjs-node';
import { balanceLoss } from './balance-loss.js';
import { classicCapacity, keepFirstCome } from './capacity.js';
import type { Router, RouterContext } from './router.js';

// Shapes: T tokens of this rank, d hidden size, E experts.

/**
 * Switch routing (arXiv 2101.03961, eq. 1 and 2): a dense learned W_g, softmax over the experts of the domain's
 * group, the best expert alone, weighted by its probability; load-balance loss (eq. 4).
 *
 * Evaluation drops nothing, so that a token's output does not depend on the other sequences of its batch.
 */
export function switchRouter({ moe, dModel, expertsOfDomain }: RouterContext): Router {
  const { numExperts, auxiliaryLossWeight } = moe;
  return {
    parameterSpecs: [
      {
        name: 'weight',
        shape: [dModel, numExperts],
        init: { kind: 'normal', std: 0.02 },
        placement: 'shared',
        decay: true,
      },
    ],
    route({ xTD, domainsT, training, parameters }) {
      const logitsTE: tf.Tensor2D = tf.matMul(xTD, parameters.get('weight') as tf.Tensor2D);
      const probsTE: tf.Tensor2D = tf.softmax(keepToGroup(logitsTE, domainsT, expertsOfDomain));
      const chosenT = argmaxOfRows(probsTE);
      const factor = training ? moe.capacityFactor : null;
      const capacity = classicCapacity(factor, chosenT.length, 1, numExperts);
      const pickTE = tf.oneHot(tf.tensor1d(chosenT, 'int32'), numExperts);
      return {
        ...keepFirstCome(chosenT, numExperts, capacity),
        numChoices: 1,
        weightsTK: tf.sum(tf.mul(probsTE, pickTE), 1, true),
        capacity,
        auxiliaryLoss: (routedByAllRanksE) => balanceLoss(auxiliaryLossWeight, routedByAllRanksE, probsTE),
      };
    },
  };
}

/** Adds -1e9 to the logits of experts outside the group of the token's domain. */
function keepToGroup(
  logitsTE: tf.Tensor2D,
  domainsT: Int32Array,
  expertsOfDomain: readonly Int32Array[],
): tf.Tensor2D {
  const numExperts = logitsTE.shape[1];
  if (expertsOfDomain.every((group) => group.length === numExperts)) return logitsTE;
  const maskTE = new Float32Array(logitsTE.size).fill(-1e9);
  domainsT.forEach((domain, t) => {
    for (const expert of expertsOfDomain[domain]) maskTE[t * numExperts + expert] = 0;
  });
  return tf.add(logitsTE, tf.tensor2d(maskTE, logitsTE.shape));
}

/** Column of the greatest element of each row; the first one on a tie. */
function argmaxOfRows(valuesTE: tf.Tensor2D): Int32Array {
  return tf.tidy(() => tf.argMax(valuesTE, 1).dataSync<'int32'>().slice());
}
