import { type Compute, compiled } from './compiled.js';
import { tf } from './tensorflow.js';

/**
 * Runs a part of a fused operation, compiled if a gradient is recorded: training has the same shapes at every
 * step, inference new ones with every token. `compiled` says what a part may do; `name` is for errors.
 */
export type RunPart = (name: string, inputs: readonly tf.Tensor[], compute: Compute) => tf.Tensor[];

/** For parts whose shapes depend on the data. */
export const uncompiled: RunPart = (_, inputs, compute) => [...compute(...inputs)];

export interface FusedForward {
  readonly value: tf.Tensor;
  /** Kept for `backward` if a gradient is recorded, else freed. */
  readonly saved: readonly tf.Tensor[];
  /**
   * Gradients of the inputs, in their order, from the gradient of the value and the saved tensors: distinct
   * tensors, one of which may be `dy` itself.
   */
  readonly backward: (dy: tf.Tensor, saved: readonly tf.Tensor[]) => tf.Tensor[];
}

/**
 * A differentiable operation with hand-written forward and backward. Intermediates are freed at the end of
 * each, saved tensors and the incoming gradient at the end of the backward. Autograd would keep all of them
 * until the end of the step.
 */
export function fusedOp<T extends tf.Tensor>(
  inputs: readonly tf.Tensor[],
  forward: (run: RunPart) => FusedForward,
): T {
  const run = tf.engine().state.gradientDepth > 0 ? compiled : uncompiled;
  const op = tf.customGrad((...args) => {
    const { value, saved, backward } = forward(run);
    const save = args[inputs.length] as (tensors: tf.Tensor[]) => void;
    save([...saved]);
    const gradFunc = (dy: tf.Tensor, kept: tf.Tensor[]) => {
      const gradients = tf.tidy(() => backward(dy, kept));
      for (const tensor of [dy, ...kept]) if (!gradients.includes(tensor)) tensor.dispose();
      return gradients;
    };
    return { value, gradFunc };
  });
  return op(...inputs) as T;
}
