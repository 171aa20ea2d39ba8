import { fusedOp } from './autograd.js';
import { kernels } from './kernels/choose-kernels.js';
import { tf } from './tensorflow.js';

/** Computes W + scale A B with gradients of A and B; W is frozen: [a, b] + [a, R] [R, b] -> [a, b]. */
export function addLowRank(wAB: tf.Tensor2D, aAR: tf.Tensor2D, bRB: tf.Tensor2D, scale: number): tf.Tensor2D {
  return fusedOp([wAB, aAR, bRB], () => {
    const product = kernels().matMul(aAR, bRB, true);
    return {
      value: kernels().add(wAB, tf.mul(product.value, scale)),
      saved: product.saved,
      backward: (dAB, saved) => [undefined, ...product.backward(tf.mul(dAB, scale), saved)],
    };
  });
}
