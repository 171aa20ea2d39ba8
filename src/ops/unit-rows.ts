import { fusedOp } from './autograd.js';
import { kernels } from './kernels/choose-kernels.js';
import type { tf } from './tensorflow.js';

/**
 * Returns each row divided by its length: x_t / sqrt(|x_t|^2 + least).
 *
 * @param xTD [T, d]
 * @param least keeps the result finite for a row of zeros
 * @returns [T, d]
 */
export function unitRows(xTD: tf.Tensor2D, least: number): tf.Tensor2D {
  return fusedOp([xTD], () => kernels().unitRows(xTD, least));
}
