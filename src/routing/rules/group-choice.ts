import { gatherRows } from '../../ops/operations.js';
import { tf } from '../../ops/tensorflow.js';
import type { GateCosine } from '../router.js';

// Shapes: T tokens, E experts, K choices of a token.

/** Adds -1e9 to the logits of experts outside the group of the token's domain (level 1), [T, E]. */
export function keepToGroup(
  logitsTE: tf.Tensor2D,
  domainsT: Int32Array,
  expertsOfDomain: readonly Int32Array[],
): tf.Tensor2D {
  const maskTE = groupMask(logitsTE.shape, domainsT, expertsOfDomain, 0, -1e9);
  return maskTE === null ? logitsTE : tf.add(logitsTE, maskTE);
}

/** Returns values divided by their sum over the group of the token's domain, and 0 outside it, [T, E], differentiable. */
export function sharesOfGroup(
  valuesTE: tf.Tensor2D,
  domainsT: Int32Array,
  expertsOfDomain: readonly Int32Array[],
): tf.Tensor2D {
  const maskTE = groupMask(valuesTE.shape, domainsT, expertsOfDomain, 1, 0);
  const kept = (ofTE: tf.Tensor2D): tf.Tensor2D => (maskTE === null ? ofTE : tf.mul(ofTE, maskTE));
  return kept(tf.div(valuesTE, tf.add(tf.sum(kept(valuesTE), 1, true), LEAST_SUM)));
}

/** Returns one number for the experts in the group of the token's domain and another outside, [T, E]; null if none is outside. */
function groupMask(
  shape: [number, number],
  domainsT: Int32Array,
  expertsOfDomain: readonly Int32Array[],
  inside: number,
  outside: number,
): tf.Tensor2D | null {
  const [numTokens, numExperts] = shape;
  if (expertsOfDomain.every((group) => group.length === numExperts)) return null;
  const maskTE = new Float32Array(numTokens * numExperts).fill(outside);
  domainsT.forEach((domain, t) => {
    for (const expert of expertsOfDomain[domain]!) maskTE[t * numExperts + expert] = inside;
  });
  return tf.tensor2d(maskTE, shape);
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
const LEAST_SUM = 1e-20;

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
