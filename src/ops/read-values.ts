import { tf } from './tensorflow.js';

/**
 * The elements of a tensor that is needed for nothing else; it and all intermediates are freed.
 *
 * Not `tf.tidy(() => tensor.dataSync())`: `tidy` looks for tensors in what it is given back, element by element.
 */
export function readFloats(compute: () => tf.Tensor): Float32Array {
  return read(compute, (tensor) => tensor.dataSync<'float32'>());
}

/** As `readFloats`, of whole numbers. */
export function readIntegers(compute: () => tf.Tensor): Int32Array {
  return read(compute, (tensor) => tensor.dataSync<'int32'>());
}

function read<T extends Float32Array | Int32Array>(
  compute: () => tf.Tensor,
  elements: (tensor: tf.Tensor) => T,
): T {
  const tensor = tf.tidy(compute);
  // A copy: what `dataSync` gives is TensorFlow's own memory.
  const values = elements(tensor).slice() as T;
  tensor.dispose();
  return values;
}
