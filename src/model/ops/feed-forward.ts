import type * as tf from '@tensorflow/tfjs-node';
import { fusedOp } from './fused-op.js';
import { geluBackward, geluForward } from './gelu.js';
import { narrowingGradient, product, rowsProduct } from './mat-mul.js';

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
    const beforeTF = rowsProduct(xTD, wInDF);
    const { y: hiddenTF, gate: gateTF } = geluForward(beforeTF);
    return {
      value: rowsProduct(hiddenTF, wOutFD),
      saved: [xTD, wInDF, wOutFD, beforeTF, gateTF, hiddenTF],
      backward,
    };
  });
}

function backward(dyTD: tf.Tensor, saved: readonly tf.Tensor[]): tf.Tensor[] {
  const [xTD, wInDF, wOutFD, beforeTF, gateTF, hiddenTF] = saved;
  const dHiddenTF = rowsProduct(dyTD, wOutFD, true);
  const dBeforeTF = geluBackward(dHiddenTF, beforeTF, gateTF);
  return [
    rowsProduct(dBeforeTF, wInDF, true),
    product(xTD, dBeforeTF, true),
    narrowingGradient(hiddenTF, dyTD),
  ];
}
