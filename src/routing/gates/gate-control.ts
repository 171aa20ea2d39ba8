import { gatherRows } from '../../ops/operations.js';
import { tf } from '../../ops/tensorflow.js';
import { CounterRandom } from '../../parameters/counter-random.js';

// Shapes: T tokens of this rank, E experts.

/** Scores that replace a gate's scores, to measure how much a model depends on the gate. */
export type GateControl = 'zero' | 'shuffled';

/**
 * Returns the scores of a gate, or of its control: all zero, or the scores of another token of the batch, drawn without
 * replacement. What is added to the scores afterwards, such as the preference of a token's id, is not affected.
 */
export function controlled(gateTE: tf.Tensor2D, control: GateControl | undefined): tf.Tensor2D {
  if (control === undefined) return gateTE;
  if (control === 'zero') return tf.zerosLike(gateTE);
  const [numTokens] = gateTE.shape;
  return gatherRows(gateTE, new CounterRandom(1, 'gate control').permutation(numTokens));
}
