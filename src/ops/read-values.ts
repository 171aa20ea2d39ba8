import { tf } from './tensorflow.js';

/**
 * Computes a tensor and returns its elements; frees it and all intermediates.
 *
 * Not `tf.tidy(() => tensor.dataSync())`: `tidy` searches its result for tensors, element by element.
 */
export function readFloats(compute: () => tf.Tensor): Float32Array {
  return read(compute, (tensor) => tensor.dataSync<'float32'>());
}

/** Does what `readFloats` does, for int32. */
export function readIntegers(compute: () => tf.Tensor): Int32Array {
  return read(compute, (tensor) => tensor.dataSync<'int32'>());
}

function read<T extends Float32Array | Int32Array>(
  compute: () => tf.Tensor,
  elements: (tensor: tf.Tensor) => T,
): T {
  const tensor = tf.tidy(compute);
  // A copy, because `dataSync` returns TensorFlow's own memory.
  const values = elements(tensor).slice() as T;
  tensor.dispose();
  return values;
}
