import type * as tf from '@tensorflow/tfjs-node';
import { kernels } from './kernels/choose-kernels.js';

/**
 * x W with rows on the host, row-major: [T, a] x [a, b] -> [T, b]. A row's bits do not depend on the number of rows.
 *
 * @param numRows T
 */
export function hostRowsProduct(xTA: Float32Array, numRows: number, wAB: tf.Tensor): Float32Array {
  return kernels().hostRowsProduct(xTA, numRows, wAB);
}
