import type * as tf from '@tensorflow/tfjs-node';
import { fusedOp } from './fused-op.js';
import { kernels } from './kernels/choose-kernels.js';

/** x W with gradients of both: [T, a] x [a, b] -> [T, b]. */
export function matMul(xTA: tf.Tensor2D, wAB: tf.Tensor2D): tf.Tensor2D {
  return fusedOp([xTA, wAB], () => kernels().matMul(xTA, wAB, false));
}

/** `matMul` in float32 whatever the precision, for gates: a choice of experts hangs on small differences. */
export function exactMatMul(xTA: tf.Tensor2D, wAB: tf.Tensor2D): tf.Tensor2D {
  return fusedOp([xTA, wAB], () => kernels().matMul(xTA, wAB, true));
}
