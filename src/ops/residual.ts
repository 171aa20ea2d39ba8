import { fusedOp } from './fused-op.js';
import { tf } from './tensorflow.js';

/** x + y for equal shapes; autograd's own addition would keep its gradient until the end of the step. */
export function residual(xTD: tf.Tensor2D, yTD: tf.Tensor2D): tf.Tensor2D {
  return fusedOp([xTD, yTD], () => ({
    value: tf.add(xTD, yTD),
    saved: [],
    backward: (dyTD) => [dyTD, dyTD.clone()],
  }));
}
