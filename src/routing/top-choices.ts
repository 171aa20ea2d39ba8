import { z } from 'zod';
import { tf } from '../ops/tensorflow.js';
import { argmaxOfRows, valuesOfChoices } from './group-choice.js';
import { positive } from './numeric-fields.js';
import { type MoeRule, type MoeWith, unless } from './policy.js';
import { nextBest } from './token-choice.js';

// Shapes: T tokens of this rank, E experts, K choices of a token.

export const topKField = {
  expertsPerToken: positive
    .default(1)
    .describe(
      "K: experts that a token takes of its domain's; with more than one, their weights sum to 1 (but see renormalize)",
    ),
};

export const renormalizeField = {
  renormalize: z
    .boolean()
    .default(true)
    .describe(
      'false: each of several experts has its probability as its weight, as in Qwen2Moe; family mixtral alone',
    ),
};

/** Checks that a domain has enough experts, as a token cannot choose an expert twice. */
export const topKFits: MoeRule<MoeWith<typeof topKField>> = ({ numExperts, expertGroups, expertsPerToken }) =>
  unless(
    expertsPerToken <= Math.floor(numExperts / expertGroups),
    'expertsPerToken',
    `${expertsPerToken}, but a domain has ${Math.floor(numExperts / expertGroups)} experts: numExperts over expertGroups`,
  );

/**
 * Returns the K experts with the greatest scores in the domain's group, best first; ties go to the lower id.
 *
 * @param scoresTE [T, E]; scores outside the group are below all others
 * @returns row-major [T, K]
 */
export function topChoices(
  scoresTE: tf.Tensor2D,
  domainsT: Int32Array,
  expertsOfDomain: readonly Int32Array[],
  numChoices: number,
): Int32Array {
  // TensorFlow is faster than a loop, but cannot restrict a second choice to the group.
  if (numChoices === 1) return argmaxOfRows(scoresTE);
  const groupsOfDomain = expertsOfDomain.map((experts) => [experts]);
  return bestOfGroups(scoresTE, numChoices, (t) => groupsOfDomain[domainsT[t]!]!);
}

/** Keeps shares finite where all scores are 0. */
export const LEAST_SUM = 1e-20;

/**
 * Returns the weights of the choices, [T, K], differentiable: their probabilities, normalised to a sum of 1 if a token
 * has several (Mixtral, arXiv 2401.04088, section 2.1; GShard, arXiv 2006.16668, algorithm 1). A single choice keeps
 * its probability, as a weight of 1 would leave the gate without a gradient.
 *
 * @param chosenTK row-major [T, K]
 */
export function topWeights(probsTE: tf.Tensor2D, chosenTK: Int32Array, numChoices: number): tf.Tensor2D {
  const probsTK = valuesOfChoices(probsTE, chosenTK, numChoices);
  return numChoices === 1 ? probsTK : tf.div(probsTK, tf.add(tf.sum(probsTK, 1, true), LEAST_SUM));
}

/**
 * Returns the experts with the greatest scores in a token's groups, equally many of each group, group by group and best
 * first; ties go to the lower id.
 *
 * @param scoresTE [T, E]
 * @param numChoices K, over all groups of a token
 * @returns row-major [T, K]
 */
export function bestOfGroups(
  scoresTE: tf.Tensor2D,
  numChoices: number,
  groupsOf: (t: number) => readonly Int32Array[],
): Int32Array {
  const scores = scoresTE.dataSync<'float32'>();
  const [numTokens, numExperts] = scoresTE.shape;
  const chosenTK = new Int32Array(numTokens * numChoices);
  let choice = 0;
  for (let t = 0; t < numTokens; t++) {
    const groups = groupsOf(t);
    for (const group of groups) {
      let last = -1;
      for (let k = 0; k < numChoices / groups.length; k++) {
        last = nextBest(scores, t * numExperts, group, last);
        chosenTK[choice++] = last;
      }
    }
  }
  return chosenTK;
}
