import { tf } from '../../tensorflow.js';
import type { Context } from './context.js';

/** TensorFlow's own addition takes less time for fewer elements. */
const LEAST_ELEMENTS = 1 << 14;

/**
 * Makes autograd add gradients in place. It adds the gradients of a tensor that was used several times, and
 * this kernel is the only place to intervene; TensorFlow would first copy both to its own memory.
 */
export function addWith({ primitives, memory }: Context): void {
  const kernel = tf.getKernel('Add', 'tensorflow');
  tf.unregisterKernel('Add', 'tensorflow');
  tf.registerKernel({
    ...kernel,
    kernelFunc(params) {
      const { a, b } = params.inputs as { readonly a: tf.Tensor; readonly b: tf.Tensor };
      const isOurs =
        a.dtype === 'float32' &&
        b.dtype === 'float32' &&
        a.shape.length === b.shape.length &&
        a.shape.every((length, axis) => length === b.shape[axis]) &&
        a.shape.reduce((product, length) => product * length, 1) >= LEAST_ELEMENTS;
      if (!isOurs) return kernel.kernelFunc(params);
      const sum = memory.create(a.shape);
      primitives.combine('add', memory.operandOf(a), memory.operandOf(b), sum);
      return sum.tensor;
    },
  });
}
