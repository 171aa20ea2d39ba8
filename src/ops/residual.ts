import type * as tf from '@tensorflow/tfjs-node';
import { fusedOp } from './fused-op.js';
import { kernels } from './kernels/choose-kernels.js';

/** x + y for equal shapes; autograd's own addition would keep its gradient until the end of the step. */
export function residual(xTD: tf.Tensor2D, yTD: tf.Tensor2D): tf.Tensor2D {
  return fusedOp([xTD, yTD], () => ({
    value: kernels().add(xTD, yTD),
    saved: [],
    backward: (dyTD) => [dyTD, dyTD.clone()],
  }));
}
