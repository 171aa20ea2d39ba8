import { tf } from './tensorflow.js';

/** The operations that `tensorflowKernels` runs, as TensorFlow's library in JavaScript has them. */
export function rawOp(
  name: string,
  inputs: readonly tf.Tensor[],
  switches: Readonly<Record<string, boolean>> = {},
): tf.Tensor {
  const [a, b] = inputs as [tf.Tensor, tf.Tensor];
  if (name === 'MatMul') return tf.matMul(a, b, switches.transpose_a, switches.transpose_b);
  // The inputs are y = sigmoid(x) and the gradient of y.
  if (name === 'SigmoidGrad') return tf.mul(b, tf.mul(a, tf.sub(1, a)));
  throw new Error(`${name} is not there in a browser`);
}
