import type { FusedForward } from './kernels/kernels.js';
import { tf } from './tensorflow.js';

/**
 * A differentiable operation with hand-written forward and backward. Intermediates are freed at the end of
 * each, saved tensors and the incoming gradient at the end of the backward. Autograd would keep all of them
 * until the end of the step.
 */
export function fusedOp<T extends tf.Tensor, const Saved extends readonly tf.Tensor[] = readonly tf.Tensor[]>(
  inputs: readonly tf.Tensor[],
  forward: () => FusedForward<Saved>,
): T {
  const op = tf.customGrad((...args) => {
    const { value, saved, backward } = forward();
    const save = args[inputs.length] as (tensors: tf.Tensor[]) => void;
    save([...saved]);
    const gradFunc = (dy: tf.Tensor, kept: tf.Tensor[]) => {
      const gradients = tf.tidy(() => backward(dy, kept as unknown as Saved));
      for (const tensor of [dy, ...kept]) if (!gradients.includes(tensor)) tensor.dispose();
      // Autograd asks for a tensor in place of a gradient that it does not look at.
      return gradients.map((gradient) => gradient ?? dy);
    };
    return { value, gradFunc };
  });
  return op(...inputs) as T;
}
