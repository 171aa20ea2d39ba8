import { z } from 'zod';
import type { Choice } from '../architecture/rule.js';
import type { tf } from '../ops/tensorflow.js';
import { inDeviceGroups } from './device-groups.js';
import { argmaxOfRows, sharesOfChoices, valuesOfChoices } from './group-choice.js';
import { positive } from './numeric-fields.js';
import { type MoeRule, type MoeWith, unless } from './policy.js';
import { type Candidates, nextBest, tokenChoice } from './token-choice.js';

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
      'false: each of several experts has its probability as its weight, as in Qwen2Moe; family llama alone',
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
  return bestOfGroups(scoresTE, domainsT, inDeviceGroups(expertsOfDomain, 1), numChoices);
}

/**
 * Returns the weights of the choices, [T, K], differentiable: their probabilities, normalised to a sum of 1 if a token
 * has several (Mixtral, arXiv 2401.04088, section 2.1; GShard, arXiv 2006.16668, algorithm 1). A single choice keeps
 * its probability, as a weight of 1 would leave the gate without a gradient.
 *
 * @param chosenTK row-major [T, K]
 */
export function topWeights(probsTE: tf.Tensor2D, chosenTK: Int32Array, numChoices: number): tf.Tensor2D {
  return (numChoices === 1 ? valuesOfChoices : sharesOfChoices)(probsTE, chosenTK, numChoices);
}

/**
 * Returns the experts with the greatest scores in a token's groups, equally many of each group, group by group and best
 * first; ties go to the lower id.
 *
 * @param scoresTE [T, E]
 * @param groupsOfDomain groups of experts, by domain
 * @param numChoices K, over all groups of a token
 * @param numOpen if not null, the choices are the best experts of the `numOpen` best groups together
 * @returns row-major [T, K]
 */
export function bestOfGroups(
  scoresTE: tf.Tensor2D,
  domainsT: Int32Array,
  groupsOfDomain: readonly (readonly Int32Array[])[],
  numChoices: number,
  numOpen: number | null = null,
): Int32Array {
  const scores = scoresTE.dataSync<'float32'>();
  const [numTokens, numExperts] = scoresTE.shape;
  const chosenTK = new Int32Array(numTokens * numChoices);
  let choice = 0;
  for (let t = 0; t < numTokens; t++) {
    const row = t * numExperts;
    const all = groupsOfDomain[domainsT[t]!]!;
    const groups = numOpen === null ? all : [bestGroups(scores, row, all, numOpen, numChoices / numOpen)];
    for (const group of groups) {
      let last = -1;
      for (let k = 0; k < numChoices / groups.length; k++) {
        last = nextBest(scores, row, group, last);
        chosenTK[choice++] = last;
      }
    }
  }
  return chosenTK;
}

/**
 * Returns the experts, by ascending id, of the `most` groups with the highest sum of their `numBest` best scores; ties
 * go to the lower id.
 *
 * @param row index of the token's first score
 */
function bestGroups(
  scores: Float32Array,
  row: number,
  groups: readonly Int32Array[],
  most: number,
  numBest: number,
): Int32Array {
  const sums = groups.map((group) => {
    let sum = 0;
    let last = -1;
    for (let k = 0; k < numBest; k++) {
      last = nextBest(scores, row, group, last);
      sum += scores[row + last]!;
    }
    return sum;
  });
  const ranked = [...groups.keys()].sort((a, b) => sums[b]! - sums[a]! || a - b);
  const open = ranked.slice(0, most).sort((a, b) => a - b);
  return Int32Array.from(open.flatMap((index) => [...groups[index]!]));
}

/** Returns the candidates of each token by a rule's choice, which fits the domains (`problemOfRule`). */
export function candidatesOf(
  choose: Exclude<Choice, { readonly op: 'table' }>,
  scoresTE: tf.Tensor2D,
  domainsT: Int32Array,
  expertsOfDomain: readonly Int32Array[],
): Omit<Candidates, 'affinitiesTK'> {
  const numChoices = choose.count;
  if (choose.op === 'topP') {
    const scores = scoresTE.dataSync<'float32'>();
    const options = { numExperts: scoresTE.shape[1], expertsOfDomain, domainsT, threshold: choose.sum };
    return tokenChoice(scores, scores, { ...options, maxChoices: numChoices });
  }
  const { groups, open } = choose.op === 'topOfGroups' ? { ...choose, open: null } : (choose.limit ?? ALL);
  const groupsOfDomain = inDeviceGroups(expertsOfDomain, groups);
  return { numChoices, expertsTK: bestOfGroups(scoresTE, domainsT, groupsOfDomain, numChoices, open) };
}

const ALL = { groups: 1, open: null };
