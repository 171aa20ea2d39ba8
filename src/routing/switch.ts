import * as tf from '@tensorflow/tfjs-node';
import { readFloats } from '../ops/read-values.js';
import { initStd } from '../parameters/matrix.js';
import { balanceLoss } from './balance-loss.js';
import { classicCapacity } from './capacity.js';
import { firstCome } from './count-exchange.js';
import { argmaxOfRows, cosineOfChoices, keepToGroup } from './group-choice.js';
import type { GateCosine, Router, RouterContext } from './router.js';

// Shapes: T tokens of this rank, d hidden size, E experts.

/**
 * Switch routing (arXiv 2101.03961, eq. 1 and 2): a dense learned W_g, softmax over the experts of the domain's
 * group, the best expert alone, weighted by its probability; load-balance loss (eq. 4).
 *
 * Evaluation drops nothing, so that a token's output does not depend on the other sequences of its batch.
 */
export function switchRouter(context: RouterContext): Router {
  const { moe, dModel, expertsOfDomain, topology } = context;
  const { numExperts, auxiliaryLossWeight } = moe;
  return {
    parameterSpecs: [
      {
        name: 'weight',
        shape: [dModel, numExperts],
        init: { kind: 'normal', std: initStd(dModel) },
        placement: 'shared',
        decay: true,
      },
    ],
    state: new Map(),
    route({ xTD, domainsT, training, parameters }) {
      const weightDE = parameters.get('weight') as tf.Tensor2D;
      const logitsTE: tf.Tensor2D = tf.matMul(xTD, weightDE);
      const probsTE: tf.Tensor2D = tf.softmax(keepToGroup(logitsTE, domainsT, expertsOfDomain));
      const chosenT = argmaxOfRows(probsTE);
      const factor = training ? moe.capacityFactor : null;
      const capacity = classicCapacity(factor, chosenT.length * topology.worldSize, 1, numExperts);
      const pickTE = tf.oneHot(tf.tensor1d(chosenT, 'int32'), numExperts);
      const cut = firstCome(context, chosenT, capacity);
      return {
        ...cut,
        numChoices: 1,
        weightsTK: tf.sum(tf.mul(probsTE, pickTE), 1, true),
        auxiliaryLoss: balanceLoss(auxiliaryLossWeight, cut.routedByAllRanksE, probsTE),
        gateCosine: training ? meanGateCosine(xTD, weightDE, logitsTE, chosenT) : null,
      };
    },
  };
}

function meanGateCosine(
  xTD: tf.Tensor2D,
  weightDE: tf.Tensor2D,
  logitsTE: tf.Tensor2D,
  chosenT: Int32Array,
): GateCosine {
  const cosinesTE = readFloats(() => {
    const normsTE = tf.mul(normsAlong(xTD, 1), normsAlong(weightDE, 0));
    return tf.div(logitsTE, tf.maximum(normsTE, 1e-12));
  });
  return cosineOfChoices(cosinesTE, chosenT, 1);
}

/** `tf.norm` without its general power, which takes ten times as long as a square. */
function normsAlong(x: tf.Tensor2D, axis: number): tf.Tensor {
  return tf.sqrt(tf.sum(tf.square(x), axis, true));
}
