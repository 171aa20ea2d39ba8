import { nodeOf, type Topology } from '../collectives/topology.js';
import { tf } from '../ops/tensorflow.js';
import { rankOfExpert } from './expert-placement.js';

// Shapes: T tokens of this rank, E experts.

/** Keeps logarithms finite where an expert gets no probability at all. */
const LEAST_PROBABILITY = 1e-9;

/** Whether each expert's tokens from this rank stay on its node, length E. */
export function expertsOnNode(numExperts: number, topology: Topology): boolean[] {
  const { rank, worldSize, node } = topology;
  return Array.from(
    { length: numExperts },
    (_, expert) => nodeOf(topology, rankOfExpert(numExperts, worldSize, rank, expert)) === node,
  );
}

/**
 * The fully localised distribution D_l of each domain (LocMoE, arXiv 2401.13920, eq. 6), smoothed so that the
 * divergence is finite: of the n experts that the domain may use, the n_l on this node share 1 - eps evenly and the
 * others eps. A domain whose experts are all here or all elsewhere gets the uniform distribution over them: there is
 * nothing to win, and what remains of the loss balances them.
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

/** Mean over the tokens of the localised distributions of their domains: what their routing can reach, length E. */
export function meanTarget(domainsT: Int32Array, targetOfDomain: readonly Float64Array[]): Float32Array {
  const sumE = new Float64Array(targetOfDomain[0].length);
  for (const domain of domainsT)
    targetOfDomain[domain].forEach((share, expert) => {
      sumE[expert] += share;
    });
  return Float32Array.from(sumE, (sum) => sum / domainsT.length);
}

/**
 * This rank's share of the locality loss mu KL(D_c || D_l) of its node (LocMoE eq. 6), D_c the mean probability over
 * the tokens of all ranks of the node. The derivative of the divergence by D_c,i is log(D_c,i / D_l,i), up to a
 * constant that a distribution's sum of one takes out, so each rank contributes sum_i P_i log(D_c,i / D_l,i) with the
 * logarithm held fixed: its mean over the ranks of a node is the divergence, in value and in gradient, however many
 * workers the node has.
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
  const scaledLogE = Float32Array.from(
    currentE,
    (current, expert) =>
      mu * Math.log(Math.max(current, LEAST_PROBABILITY) / Math.max(targetE[expert], LEAST_PROBABILITY)),
  );
  return tf.sum(tf.mul(tf.mean(probsTE, 0), tf.tensor1d(scaledLogE)));
}
