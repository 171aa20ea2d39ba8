import { gatherRows } from '../ops/operations.js';
import { readIntegers } from '../ops/read-values.js';
import { tf } from '../ops/tensorflow.js';
import type { GateCosine } from './router.js';

// Shapes: T tokens, E experts, K choices of a token.

/** Adds -1e9 to the logits of experts outside the group of the token's domain (level 1), [T, E]. */
export function keepToGroup(
  logitsTE: tf.Tensor2D,
  domainsT: Int32Array,
  expertsOfDomain: readonly Int32Array[],
): tf.Tensor2D {
  const numExperts = logitsTE.shape[1];
  if (expertsOfDomain.every((group) => group.length === numExperts)) return logitsTE;
  const maskTE = new Float32Array(logitsTE.size).fill(-1e9);
  domainsT.forEach((domain, t) => {
    for (const expert of expertsOfDomain[domain]!) maskTE[t * numExperts + expert] = 0;
  });
  return tf.add(logitsTE, tf.tensor2d(maskTE, logitsTE.shape));
}

/** Returns the argmax of each row; ties go to the lower index. */
export function argmaxOfRows(valuesTE: tf.Tensor2D): Int32Array {
  return readIntegers(() => tf.argMax(valuesTE, 1));
}

/**
 * Returns the values of the chosen experts, [T, K], differentiable; empty places have the value of expert 0.
 *
 * @param chosenTK chosen experts, row-major [T, K], -1 for none
 */
export function valuesOfChoices(
  valuesTE: tf.Tensor2D,
  chosenTK: Int32Array,
  numChoices: number,
): tf.Tensor2D {
  const [numTokens, numExperts] = valuesTE.shape;
  const elements = chosenTK.map(
    (expert, choice) => Math.floor(choice / numChoices) * numExperts + Math.max(0, expert),
  );
  return tf.reshape(gatherRows(tf.reshape(valuesTE, [-1, 1]), elements), [numTokens, numChoices]);
}

/** Keeps shares finite where all values are 0. */
export const LEAST_SUM = 1e-20;

/**
 * Returns the values of the chosen experts divided by their sum over the token's choices, [T, K], differentiable; 0 in empty places.
 *
 * @param chosenTK as `valuesOfChoices`
 */
export function sharesOfChoices(
  valuesTE: tf.Tensor2D,
  chosenTK: Int32Array,
  numChoices: number,
): tf.Tensor2D {
  let valuesTK = valuesOfChoices(valuesTE, chosenTK, numChoices);
  if (chosenTK.includes(-1))
    valuesTK = tf.mul(
      valuesTK,
      tf.tensor2d(
        Float32Array.from(chosenTK, (expert) => (expert < 0 ? 0 : 1)),
        valuesTK.shape,
      ),
    );
  return tf.div(valuesTK, tf.add(tf.sum(valuesTK, 1, true), LEAST_SUM));
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
