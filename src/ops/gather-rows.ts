import { fusedOp } from './fused-op.js';
import { kernels } from './kernels/choose-kernels.js';
import { tf } from './tensorflow.js';

// Shapes: T tokens, N chosen rows, d hidden size.

/**
 * Rows of x by index; a row may occur several times or never.
 *
 * @param xTD [T, d]
 * @param indicesN length N, each in [0, T)
 * @returns [N, d]
 */
export function gatherRows(xTD: tf.Tensor2D, indicesN: Int32Array): tf.Tensor2D {
  const [numRows, width] = xTD.shape;
  return fusedOp([xTD], () =>
    indicesN.length > 0
      ? kernels().gatherRows(xTD, indicesN)
      : { value: tf.zeros([0, width]), saved: [], backward: () => [tf.zeros([numRows, width])] },
  );
}
