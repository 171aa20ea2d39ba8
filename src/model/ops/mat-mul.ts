import * as tf from '@tensorflow/tfjs-node';
import { fusedOp } from './fused-op.js';
import { rawOp } from './raw-op.js';

/**
 * x W with gradients of both: [T, a] x [a, b] -> [T, b].
 *
 * TensorFlow's own operation for two matrices: `tf.matMul` takes the one for batches of them and two reshapes, which gives
 * the same bits and takes a tenth longer.
 */
export function matMul(xTA: tf.Tensor2D, wAB: tf.Tensor2D): tf.Tensor2D {
  return fusedOp([xTA, wAB], () => ({
    value: product(xTA, wAB),
    saved: [xTA, wAB],
    backward: (dyTB, [x, w]) => [product(dyTB, w, false, true), product(x, dyTB, true)],
  }));
}

/** A product of two matrices, each transposed first if asked; without gradients, for use in a fused operation. */
export function product(a: tf.Tensor, b: tf.Tensor, transposeA = false, transposeB = false): tf.Tensor2D {
  return rawOp('MatMul', [a, b], { transpose_a: transposeA, transpose_b: transposeB }) as tf.Tensor2D;
}

/** TensorFlow multiplies fewer rows another way. */
const FEWEST_ROWS = 3;

/**
 * `product` in which a row's result does not depend on how many rows there are: [T, a] x [a, b] -> [T, b], or the second
 * matrix transposed.
 */
export function rowsProduct(xTA: tf.Tensor, wAB: tf.Tensor, transposed = false): tf.Tensor2D {
  const numRows = xTA.shape[0];
  if (numRows >= FEWEST_ROWS) return product(xTA, wAB, false, transposed);
  const padded = tf.pad(xTA, [
    [0, FEWEST_ROWS - numRows],
    [0, 0],
  ]);
  return tf.slice(product(padded, wAB, false, transposed), 0, numRows);
}
