import { nodeOf } from '../../collectives/topology.js';
import { combine } from '../../ops/elementwise.js';
import type { tf } from '../../ops/tensorflow.js';
import type { CommonMoe } from '../common-fields.js';
import { heldExperts } from '../groups/domain-groups.js';
import { placementOf } from '../groups/expert-placement.js';
import { real, share } from '../numeric-fields.js';
import { type MoeRule, type MoeWith, unless } from '../policy.js';
import type { RouterContext } from '../router.js';
import { balanceLoss } from './balance-loss.js';
import { expertsOnNode, localityLoss, localizedDistributions, meanTarget } from './locality-loss.js';

// Shapes: T tokens of this rank, E experts.

export const localityFields = {
  localityLossWeight: real
    .min(0)
    .default(0.01)
    .describe('mu of the locality loss; it depends on the number of nodes, 0 turns it off'),
  localityFloor: share
    .default(0.1)
    .describe('eps: probability of experts on other nodes in the localised distribution'),
};

type LocalityMoe = MoeWith<typeof localityFields>;

export const localExpertsCount: MoeRule<LocalityMoe> = ({ localityFloor, localityLossWeight }) =>
  unless(
    localityFloor < 1 || localityLossWeight === 0,
    'localityFloor',
    'must leave some probability to local experts: below 1',
  );

/** Returns the length of the array that `share` of the losses returns. */
export function numSharedForLosses({ numExperts }: CommonMoe): number {
  return 3 * numExperts;
}

/** Returns the functions that compute L_aux + L_loc (LocMoE, arXiv 2401.13920, eq. 5 to 7). */
export function gateLosses({ moe, layer, topology, expertsOfDomain }: RouterContext<LocalityMoe>) {
  const { numExperts, auxiliaryLossWeight, localityLossWeight, localityFloor } = moe;
  const numHeld = heldExperts(moe).count;
  const onNode = expertsOnNode(moe, topology, placementOf(moe, topology.worldSize, layer));
  const targetOfDomain = localizedDistributions(expertsOfDomain, onNode, localityFloor);
  return {
    /**
     * Returns the numbers of this rank to all-gather: mean probabilities, the localised target (zeros without its loss),
     * and counts of `choices`.
     */
    share(probsTE: tf.Tensor2D, domainsT: Int32Array, choices: Int32Array): Float32Array {
      const shared = new Float32Array(numSharedForLosses(moe));
      const { meanProbabilitiesE, targetE, choicesE } = split(shared, numExperts);
      if (localityLossWeight > 0) {
        meanProbabilitiesE.set(columnMeans(probsTE));
        targetE.set(meanTarget(domainsT, targetOfDomain));
      }
      for (const expert of choices) choicesE[expert]!++;
      return shared;
    },
    /** Computes the loss of this rank; its mean over ranks is the global loss. */
    loss(probsTE: tf.Tensor2D, sharedOfRank: readonly Float32Array[]): tf.Scalar {
      const shares = sharedOfRank.map((shared) => split(shared, numExperts));
      const ofNode = shares.filter((_, rank) => nodeOf(topology, rank) === topology.node);
      const balance = balanceLoss(
        auxiliaryLossWeight * numHeld,
        sum(shares.map(({ choicesE }) => choicesE)),
        probsTE,
      );
      if (localityLossWeight === 0) return balance;
      const currentE = meanOf(ofNode.map(({ meanProbabilitiesE }) => meanProbabilitiesE));
      const targetE = meanOf(ofNode.map((share) => share.targetE));
      return combine('add', balance, localityLoss(localityLossWeight, probsTE, currentE, targetE));
    },
  };
}

/** Returns the inputs of the losses from one rank and batch, each of length E; `choicesE` are counted by the load-balance loss. */
function split(shared: Float32Array, numExperts: number) {
  return {
    meanProbabilitiesE: shared.subarray(0, numExperts),
    targetE: shared.subarray(numExperts, 2 * numExperts),
    choicesE: shared.subarray(2 * numExperts, 3 * numExperts),
  };
}

function columnMeans(xTE: tf.Tensor2D): Float64Array {
  const sumE = new Float64Array(xTE.shape[1]);
  xTE.dataSync<'float32'>().forEach((x, i) => {
    sumE[i % sumE.length]! += x;
  });
  return sumE.map((sum) => sum / xTE.shape[0]);
}

function sum(vectors: readonly Float32Array[]): Float64Array {
  return Float64Array.from(vectors[0]!, (_, i) => vectors.reduce((total, vector) => total + vector[i]!, 0));
}

function meanOf(vectors: readonly Float32Array[]): Float64Array {
  return sum(vectors).map((total) => total / vectors.length);
}
