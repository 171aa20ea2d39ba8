import { tf } from './tensorflow.js';

/**
 * Computes a tensor and returns its elements; frees it and all intermediates.
 *
 * Not `tf.tidy(() => tensor.dataSync())`: `tidy` searches its result for tensors, element by element.
 */
export function readFloats(compute: () => tf.Tensor): Float32Array {
  const tensor = tf.tidy(compute);
  // A copy, because `dataSync` returns TensorFlow's own memory.
  const values = tensor.dataSync<'float32'>().slice();
  tensor.dispose();
  return values;
}
