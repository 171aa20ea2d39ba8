import { tf } from '../../tensorflow.js';
import { gelu, geluBackward } from './gelu.js';
import { rawOp } from './raw-op.js';

/** Computes hidden units from the products before them: GELU of one, or SiLU of the first times the second. */
export function activation(first: tf.Tensor, second?: tf.Tensor): tf.Tensor[] {
  return [second === undefined ? gelu(first) : tf.mul(tf.mul(first, tf.sigmoid(first)), second)];
}

/** @returns the gradients of the products, and the hidden units */
export function activationBackward(
  dHidden: tf.Tensor,
  first: tf.Tensor,
  second?: tf.Tensor,
): readonly tf.Tensor[] {
  if (second === undefined) return geluBackward(dHidden, first);
  // SiLU(x) = x s with s = sigmoid(x), and SiLU'(x) = s + x s'.
  const gate = tf.sigmoid(first);
  const silu = tf.mul(first, gate);
  const slope = tf.add(gate, rawOp('SigmoidGrad', [gate, first]));
  const dSilu = tf.mul(dHidden, second);
  return [tf.mul(dSilu, slope), tf.mul(dHidden, silu), tf.mul(silu, second)];
}
