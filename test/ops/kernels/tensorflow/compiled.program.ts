import * as tf from '@tensorflow/tfjs-node';
import { compiled } from '../../../../src/ops/kernels/tensorflow/compiled.js';

// Compiles one function, which TensorFlow reports on stderr.
tf.tidy(() => {
  const [y] = compiled('program', [tf.tensor1d([1, 2, 3])], (x) => [tf.mul(tf.exp(x), x)]);
  if (y.shape[0] !== 3) throw new Error(`shape ${y.shape}`);
});
