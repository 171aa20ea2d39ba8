import * as tf from '@tensorflow/tfjs-node';
import { fusedOp } from './fused-op.js';
import { rawOp } from './raw-op.js';

// 0.5 x (1 + tanh(u)) = x sigmoid(2 u), and 2 u = x (SLOPE + CUBIC x^2).
const SLOPE = 2 * Math.sqrt(2 / Math.PI);
const CUBIC = SLOPE * 0.044715;

/**
 * The tanh form of GELU (Hendrycks and Gimpel, arXiv 1606.08415, section 2); GPT-2 and PanGu use it too. It
 * differs from the erf form by at most 5e-4; erf is a scalar loop in this TensorFlow and takes ten times as long.
 *
 * @returns GELU of x, and sigmoid(2 u), which the backward needs besides x
 */
export function geluForward(x: tf.Tensor): [y: tf.Tensor, gate: tf.Tensor] {
  const gate = tf.sigmoid(tf.mul(x, tf.add(tf.mul(tf.square(x), CUBIC), SLOPE)));
  return [tf.mul(x, gate), gate];
}

/**
 * dx = dy (gate + gate (1 - gate) x (SLOPE + 3 CUBIC x^2)); the second summand is TensorFlow's gradient of a sigmoid.
 *
 * @returns dx alone
 */
export function geluBackward(dy: tf.Tensor, x: tf.Tensor, gate: tf.Tensor): [tf.Tensor] {
  const slope = tf.mul(x, tf.add(tf.mul(tf.square(x), 3 * CUBIC), SLOPE));
  return [tf.mul(dy, tf.add(gate, rawOp('SigmoidGrad', [gate, slope])))];
}

/** GELU of a tensor of any shape, tanh form. */
export function gelu<T extends tf.Tensor>(x: T): T {
  return fusedOp<T>([x], (run) => {
    const [y, gate] = run('GELU', [x], geluForward);
    return {
      value: y,
      saved: [x, gate],
      backward: (dy, saved) => run('gradient of GELU', [dy, ...saved], geluBackward),
    };
  });
}
