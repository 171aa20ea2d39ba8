import { nodeOf, type Topology } from '../../collectives/topology.js';
import { weightedMean } from '../../ops/elementwise.js';
import type { tf } from '../../ops/tensorflow.js';
import { type Groups, heldExperts } from '../groups/domain-groups.js';
import type { Placement } from '../groups/expert-placement.js';

// Shapes: T tokens of this rank, E experts.

/** Keeps logarithms finite for experts without probability. */
const LEAST_PROBABILITY = 1e-9;

/** Tells for each expert whether this rank's tokens for it stay on the node, length E; false if the model lacks it. */
export function expertsOnNode(moe: Groups, topology: Topology, placement: Placement): boolean[] {
  const { rank, node } = topology;
  const { first, count } = heldExperts(moe);
  const onNodeE = new Array<boolean>(moe.numExperts).fill(false);
  for (let i = 0; i < count; i++)
    onNodeE[first + i] = nodeOf(topology, placement.rankOfExpert(rank, i)) === node;
  return onNodeE;
}

/**
 * Returns the localised distribution D_l of each domain (LocMoE, arXiv 2401.13920, eq. 6), smoothed to keep the
 * divergence finite: experts of the domain's group on this node share 1 - eps evenly, the others eps. If all are local
 * or all remote it is uniform over the group, and the loss only balances.
 *
 * @param floor eps
 * @returns distributions over all experts, length E, by domain
 */
export function localizedDistributions(
  expertsOfDomain: readonly Int32Array[],
  onNode: readonly boolean[],
  floor: number,
): Float64Array[] {
  return expertsOfDomain.map((group) => {
    const numLocal = group.filter((expert) => onNode[expert]).length;
    const numRemote = group.length - numLocal;
    const targetE = new Float64Array(onNode.length);
    for (const expert of group) {
      if (numLocal === 0 || numRemote === 0) targetE[expert] = 1 / group.length;
      else targetE[expert] = onNode[expert] ? (1 - floor) / numLocal : floor / numRemote;
    }
    return targetE;
  });
}

/** Returns the mean localised distribution over the tokens' domains, length E. */
export function meanTarget(domainsT: Int32Array, targetOfDomain: readonly Float64Array[]): Float32Array {
  const sumE = new Float64Array(targetOfDomain[0]!.length);
  for (const domain of domainsT)
    targetOfDomain[domain]!.forEach((share, expert) => {
      sumE[expert]! += share;
    });
  return Float32Array.from(sumE, (sum) => sum / domainsT.length);
}

/**
 * Computes this rank's share of its node's locality loss mu KL(D_c || D_l) (LocMoE eq. 6), with D_c the mean
 * probability over the tokens of the node. d KL / d D_c,i = log(D_c,i / D_l,i) + 1, and the constant has no effect as
 * D_c sums to 1. So each rank contributes mu sum_i P_i log(D_c,i / D_l,i) with the logarithm held constant; the mean
 * over the node's ranks equals the divergence in value and gradient.
 *
 * @param probsTE router probabilities of this rank, [T, E]
 * @param currentE D_c of the node, length E
 * @param targetE D_l of the node, length E
 */
export function localityLoss(
  mu: number,
  probsTE: tf.Tensor2D,
  currentE: Float64Array,
  targetE: Float64Array,
): tf.Scalar {
  const scaledLogE = currentE.map(
    (current, expert) =>
      mu * Math.log(Math.max(current, LEAST_PROBABILITY) / Math.max(targetE[expert]!, LEAST_PROBABILITY)),
  );
  return weightedMean(probsTE, scaledLogE);
}
