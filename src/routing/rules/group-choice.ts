import { sharesOfColumns } from '../../ops/chosen-columns.js';
import { combine } from '../../ops/elementwise.js';
import { tf } from '../../ops/tensorflow.js';
import type { GateCosine } from '../router.js';

// Shapes: T tokens, E experts, K choices of a token.

/** Adds -1e9 to the logits of experts outside the group of the token's domain (level 1), [T, E]. */
export function keepToGroup(
  logitsTE: tf.Tensor2D,
  domainsT: Int32Array,
  expertsOfDomain: readonly Int32Array[],
): tf.Tensor2D {
  const [numTokens, numExperts] = logitsTE.shape;
  if (expertsOfDomain.every((group) => group.length === numExperts)) return logitsTE;
  const maskTE = new Float32Array(numTokens * numExperts).fill(-1e9);
  domainsT.forEach((domain, t) => {
    for (const expert of expertsOfDomain[domain]!) maskTE[t * numExperts + expert] = 0;
  });
  return combine('add', logitsTE, tf.tensor2d(maskTE, logitsTE.shape));
}

/** Returns values divided by their sum over the group of the token's domain, and 0 outside it, [T, E], differentiable. */
export function sharesOfGroup(
  valuesTE: tf.Tensor2D,
  domainsT: Int32Array,
  expertsOfDomain: readonly Int32Array[],
): tf.Tensor2D {
  const [numTokens, numExperts] = valuesTE.shape;
  const groupTE = new Int32Array(numTokens * numExperts).fill(-1);
  domainsT.forEach((domain, t) => {
    for (const expert of expertsOfDomain[domain]!) groupTE[t * numExperts + expert] = expert;
  });
  return sharesOfColumns(valuesTE, groupTE, numExperts);
}

/**
 * Sums the cosines of the chosen experts.
 *
 * @param cosinesTE cosines between tokens and gates, row-major [T, E]
 * @param chosenTK chosen experts, row-major [T, K], -1 for none
 */
export function cosineOfChoices(
  cosinesTE: Float32Array,
  chosenTK: Int32Array,
  numChoices: number,
): GateCosine {
  const numExperts = cosinesTE.length / (chosenTK.length / numChoices);
  let sum = 0;
  let count = 0;
  chosenTK.forEach((expert, choice) => {
    if (expert < 0) return;
    sum += cosinesTE[Math.floor(choice / numChoices) * numExperts + expert]!;
    count++;
  });
  return { sum, count };
}
