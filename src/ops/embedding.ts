import { fusedOp } from './fused-op.js';
import { tf } from './tensorflow.js';

// Shapes: B sequences, S positions, T = B S tokens, d hidden size, V vocabulary, P longest sequence.

/**
 * Token embedding plus learned position embedding.
 *
 * @param tokensVD [V, d]
 * @param positionsPD [P, d], P >= S
 * @param tokenIdsT length T, row-major [B, S]
 * @returns [T, d]
 */
export function embedding(
  tokensVD: tf.Tensor2D,
  positionsPD: tf.Tensor2D,
  tokenIdsT: Int32Array,
  seqLen: number,
): tf.Tensor2D {
  return fusedOp([tokensVD, positionsPD], () => {
    const [vocabSize, dModel] = tokensVD.shape;
    const ids = tf.tensor1d(tokenIdsT, 'int32');
    const rowsBC = tf.reshape(tf.gather(tokensVD, ids), [-1, seqLen * dModel]);
    const positionsC = tf.reshape(tf.slice(positionsPD, 0, seqLen), [-1]);
    return {
      value: tf.reshape(tf.add(rowsBC, positionsC), [-1, dModel]),
      saved: [ids],
      backward: (dyTD, [savedIds]) => [
        tf.unsortedSegmentSum(dyTD, savedIds as tf.Tensor1D, vocabSize),
        positionGradient(dyTD, seqLen, positionsPD.shape),
      ],
    };
  });
}

function positionGradient(dyTD: tf.Tensor, seqLen: number, [longest, dModel]: [number, number]): tf.Tensor {
  const sumC = tf.sum(tf.reshape(dyTD, [-1, seqLen * dModel]), 0);
  return tf.pad(tf.reshape(sumC, [seqLen, dModel]), [
    [0, longest - seqLen],
    [0, 0],
  ]);
}
