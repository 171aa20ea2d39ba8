import { fusedOp } from './fused-op.js';
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
  return fusedOp([xTD], () => {
    if (indicesN.length === 0)
      return {
        value: tf.zeros([0, width]),
        saved: [],
        backward: () => [tf.zeros([numRows, width])],
      };
    const indices = tf.tensor1d(indicesN, 'int32');
    return {
      value: tf.gather(xTD, indices),
      saved: [indices],
      backward: (dyND, [kept]) => [tf.unsortedSegmentSum(dyND, kept as tf.Tensor1D, numRows)],
    };
  });
}
