import * as tf from '@tensorflow/tfjs-node';
import { fusedOp } from './fused-op.js';
import { geluBackward, geluForward } from './gelu.js';

// Shapes: T rows, d hidden size, F hidden size of the feed-forward network.

/**
 * W_out GELU(W_in x), without biases so that a dense network can be copied into experts.
 *
 * @param xTD [T, d]
 * @param wInDF [d, F]
 * @param wOutFD [F, d]
 * @returns [T, d]
 */
export function feedForward(xTD: tf.Tensor2D, wInDF: tf.Tensor2D, wOutFD: tf.Tensor2D): tf.Tensor2D {
  return fusedOp([xTD, wInDF, wOutFD], () => {
    const beforeTF = matMulRows(xTD, wInDF);
    const { y: hiddenTF, gate: gateTF } = geluForward(beforeTF);
    return {
      value: matMulRows(hiddenTF as tf.Tensor2D, wOutFD),
      saved: [xTD, wInDF, wOutFD, beforeTF, gateTF, hiddenTF],
      backward,
    };
  });
}

/** TensorFlow multiplies fewer rows another way. */
const FEWEST_ROWS = 3;

/**
 * A matrix product in which a row's result does not depend on how many rows there are: [T, a] x [a, b] -> [T, b], or
 * the second matrix transposed.
 */
export function matMulRows(xTA: tf.Tensor2D, wAB: tf.Tensor2D, transposed = false): tf.Tensor2D {
  const numRows = xTA.shape[0];
  if (numRows >= FEWEST_ROWS) return tf.matMul<tf.Tensor2D>(xTA, wAB, false, transposed);
  const padded = tf.pad(xTA, [
    [0, FEWEST_ROWS - numRows],
    [0, 0],
  ]);
  return tf.slice(tf.matMul<tf.Tensor2D>(padded, wAB, false, transposed), 0, numRows);
}

function backward(dyTD: tf.Tensor, saved: readonly tf.Tensor[]): tf.Tensor[] {
  const [xTD, wInDF, wOutFD, beforeTF, gateTF, hiddenTF] = saved as tf.Tensor2D[];
  const dHiddenTF = matMulRows(dyTD as tf.Tensor2D, wOutFD, true);
  const dBeforeTF = geluBackward(dHiddenTF, beforeTF, gateTF) as tf.Tensor2D;
  // The product with the narrow matrix on the transposed side is faster, and transposing its result costs little.
  const dwOutFD = tf.transpose(tf.matMul(dyTD as tf.Tensor2D, hiddenTF, true));
  return [matMulRows(dBeforeTF, wInDF, true), tf.matMul(xTD, dBeforeTF, true), dwOutFD];
}
