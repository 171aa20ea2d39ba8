import * as tf from '@tensorflow/tfjs-node';
import { readFloats } from '../ops/read-values.js';
import { classicCapacity } from './capacity.js';
import { CapacityEstimate } from './capacity-estimate.js';
import { firstCome } from './count-exchange.js';
import { gateLosses } from './gate-losses.js';
import { cosineAffinity, grapSpecs, groupProjection } from './grap.js';
import { argmaxOfRows, cosineOfChoices, keepToGroup } from './group-choice.js';
import type { Router, RouterContext, RouterInput } from './router.js';
import { exchangeScores } from './score-exchange.js';

// Shapes: T tokens of this rank, d hidden size, E experts.

/**
 * LocMoE routing (arXiv 2401.13920): softmax(ReLU(w_i . x + e_i)) over the experts of the domain's group with GrAP
 * weights w_i (eq. 4), the best expert alone, weighted by its probability; load-balance and locality loss (eq. 5, 6).
 * Capacity: classic while the first `capacityBatches` steps are watched, then the bound of Theorem 1 with
 * what they showed (see CapacityEstimate), kept from then on.
 *
 * w_i . x is scaled so that it has a variance of about gateScale^2 for a normalised token, whatever d and E. Where the
 * ReLU leaves all experts of a group at zero, the one with the greatest argument is taken: without that rule such
 * tokens, a quarter of them with two experts a group, would all go to the group's first expert.
 *
 * Evaluation drops nothing, so that a token's output does not depend on the other sequences of its batch.
 */
export function locmoeRouter(context: RouterContext): Router {
  const { moe, layer, dModel, expertsOfDomain, topology, transport } = context;
  const { numExperts } = moe;
  const losses = gateLosses(context);
  const estimate = new CapacityEstimate(moe, dModel);
  return {
    parameterSpecs: [
      ...grapSpecs(dModel, moe.learnedGroups),
      {
        name: 'bias',
        shape: [numExperts],
        init: { kind: 'constant', value: 0 },
        placement: 'shared',
        decay: false,
      },
    ],
    state: estimate.state,
    route(input) {
      const { domainsT, training } = input;
      const argumentTE = gateArgument(input, moe);
      const probsTE: tf.Tensor2D = tf.softmax(keepToGroup(tf.relu(argumentTE), domainsT, expertsOfDomain));
      const chosenT = argmaxOfRows(keepToGroup(argumentTE, domainsT, expertsOfDomain));
      const numTokens = chosenT.length * topology.worldSize;
      const classic = classicCapacity(moe.capacityFactor, numTokens, 1, numExperts);
      const capacity = training ? estimate.capacity(classic, numTokens) : Infinity;
      const pickTE = tf.oneHot(tf.tensor1d(chosenT, 'int32'), numExperts);
      const cosinesTE = training ? cosinesOf(input, numExperts) : null;
      const cut = firstCome(context, chosenT, capacity, losses.share(probsTE, domainsT, chosenT));
      if (cosinesTE && estimate.isWatching) {
        const affinitiesTK = Float32Array.from(chosenT, (expert, t) => cosinesTE[t * numExperts + expert]);
        estimate.observe(
          exchangeScores(transport, layer, { numChoices: 1, expertsTK: chosenT, affinitiesTK }),
        );
      }
      return {
        ...cut,
        numChoices: 1,
        weightsTK: tf.sum(tf.mul(probsTE, pickTE), 1, true),
        auxiliaryLoss: losses.loss(probsTE, cut.sharedOfRank),
        gateCosine: cosinesTE && cosineOfChoices(cosinesTE, chosenT, 1),
      };
    },
  };
}

/** What the ReLU is taken of, w_i . x + e_i, [T, E]. */
function gateArgument({ xTD, parameters }: RouterInput, moe: RouterContext['moe']): tf.Tensor2D {
  const projectionTE = groupProjection(xTD, moe.numExperts, blocksOf(parameters));
  return tf.add(tf.mul(projectionTE, moe.gateScale), parameters.get('bias') as tf.Tensor1D);
}

function cosinesOf({ xTD, parameters }: RouterInput, numExperts: number): Float32Array {
  return readFloats(() => cosineAffinity(xTD, numExperts, blocksOf(parameters)));
}

function blocksOf(parameters: RouterInput['parameters']): tf.Tensor1D | null {
  return (parameters.get('blocks') as tf.Tensor1D | undefined) ?? null;
}
