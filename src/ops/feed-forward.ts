import type * as tf from '@tensorflow/tfjs-node';
import { fusedOp, uncompiled } from './fused-op.js';
import { gelu, geluBackward } from './gelu.js';
import { narrowingGradient, product, rowsProduct } from './mat-mul.js';

// Shapes: T rows, d hidden size, F hidden size of the feed-forward network.

/**
 * W_out GELU(W_in x); no biases, so that a dense network can be copied into experts.
 *
 * @param xTD [T, d]
 * @param wInDF [d, F]
 * @param wOutFD [F, d]
 * @param rowsVary whether T differs from step to step
 * @returns [T, d]
 */
export function feedForward(
  xTD: tf.Tensor2D,
  wInDF: tf.Tensor2D,
  wOutFD: tf.Tensor2D,
  rowsVary: boolean,
): tf.Tensor2D {
  return fusedOp([xTD, wInDF, wOutFD], (runFixed) => {
    const run = rowsVary ? uncompiled : runFixed;
    const beforeTF = rowsProduct(xTD, wInDF);
    const [hiddenTF] = run('GELU', [beforeTF], geluForward);
    return {
      value: rowsProduct(hiddenTF, wOutFD),
      saved: [xTD, wInDF, wOutFD, beforeTF],
      backward: (dyTD, [x, wIn, wOut, before]) => {
        const dHiddenTF = rowsProduct(dyTD, wOut, true);
        const [dBefore, hidden] = run('gradient of GELU', [dHiddenTF, before], geluBackward);
        return [rowsProduct(dBefore, wIn, true), product(x, dBefore, true), narrowingGradient(hidden, dyTD)];
      },
    };
  });
}

function geluForward(before: tf.Tensor): tf.Tensor[] {
  return [gelu(before)];
}
