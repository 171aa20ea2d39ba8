import { tf } from '../../tensorflow.js';
import { rawOp } from './raw-op.js';

// 0.5 x (1 + tanh(u)) = x sigmoid(2 u), and 2 u = x (SLOPE + CUBIC x^2).
export const SLOPE = 2 * Math.sqrt(2 / Math.PI);
export const CUBIC = SLOPE * 0.044715;

/**
 * Computes the tanh approximation of GELU (Hendrycks and Gimpel, arXiv 1606.08415, section 2), as in GPT-2 and PanGu.
 * It differs from the erf form by at most 5e-4; erf is a scalar loop in this TensorFlow and ten times as slow. Without
 * gradients, for use in a fused operation.
 */
export function gelu(x: tf.Tensor): tf.Tensor {
  return tf.mul(x, gateOf(x));
}

/**
 * Computes dx = dy (gate + gate (1 - gate) x (SLOPE + 3 CUBIC x^2)), gate (1 - gate) being the sigmoid's derivative.
 *
 * @returns dx, and GELU(x) recomputed: saving it in the forward pass would take memory and save no time
 */
export function geluBackward(dy: tf.Tensor, x: tf.Tensor): [dx: tf.Tensor, y: tf.Tensor] {
  const gate = gateOf(x);
  const slope = tf.mul(x, tf.add(tf.mul(tf.square(x), 3 * CUBIC), SLOPE));
  return [tf.mul(dy, tf.add(gate, rawOp('SigmoidGrad', [gate, slope]))), tf.mul(x, gate)];
}

function gateOf(x: tf.Tensor): tf.Tensor {
  return tf.sigmoid(tf.mul(x, tf.add(tf.mul(tf.square(x), CUBIC), SLOPE)));
}
