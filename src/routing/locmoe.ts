import * as tf from '@tensorflow/tfjs-node';
import { capacityOfWorld, classicCapacity, keepFirstCome } from './capacity.js';
import { CapacityEstimate, estimateOfBatch } from './capacity-estimate.js';
import { gateLosses } from './gate-losses.js';
import { cosineAffinity, grapSpecs, groupProjection } from './grap.js';
import { argmaxOfRows, cosineOfChoices, keepToGroup } from './group-choice.js';
import type { Router, RouterContext, RouterInput, WorldRouting } from './router.js';

// Shapes: T tokens of this rank, d hidden size, E experts.

/**
 * LocMoE routing (arXiv 2401.13920): softmax(ReLU(w_i . x + e_i)) over the experts of the domain's group with GrAP
 * weights w_i (eq. 4), the best expert alone, weighted by its probability; load-balance and locality loss (eq. 5, 6).
 * Capacity per rank: classic while the first `capacityBatches` steps are watched, then the bound of Theorem 1 with
 * what they showed (see CapacityEstimate), kept from then on.
 *
 * w_i . x is scaled so that it has a variance of about gateScale^2 for a normalised token, whatever d and E. Where the
 * ReLU leaves all experts of a group at zero, the one with the greatest argument is taken: without that rule such
 * tokens, a quarter of them with two experts a group, would all go to the group's first expert.
 *
 * Evaluation drops nothing, so that a token's output does not depend on the other sequences of its batch.
 */
export function locmoeRouter(context: RouterContext): Router {
  const { moe, dModel, expertsOfDomain, topology } = context;
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
      const classic = classicCapacity(moe.capacityFactor, chosenT.length, 1, numExperts);
      const capacity = training ? estimate.capacity(classic, chosenT.length) : Infinity;
      const pickTE = tf.oneHot(tf.tensor1d(chosenT, 'int32'), numExperts);
      const cosinesTE = training ? cosinesOf(input, numExperts) : null;
      const shared = losses.share(probsTE, domainsT, chosenT);
      return {
        ...keepFirstCome(chosenT, numExperts, capacity),
        numChoices: 1,
        weightsTK: tf.sum(tf.mul(probsTE, pickTE), 1, true),
        capacityE: capacityOfWorld(capacity, numExperts, topology.worldSize),
        shared: cosinesTE
          ? Float32Array.of(...shared, ...estimateOfBatch(cosinesTE, chosenT, moe, dModel))
          : shared,
        world: null,
        auxiliaryLoss: (world) => losses.loss(probsTE, world),
        observe: ({ sharedOfRank }: WorldRouting) =>
          estimate.observe(sharedOfRank.map((each) => each.subarray(losses.shareLength))),
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
  return tf.tidy(() => cosineAffinity(xTD, numExperts, blocksOf(parameters)).dataSync<'float32'>().slice());
}

function blocksOf(parameters: RouterInput['parameters']): tf.Tensor1D | null {
  return (parameters.get('blocks') as tf.Tensor1D | undefined) ?? null;
}
