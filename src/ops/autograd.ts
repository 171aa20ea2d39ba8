import type { FusedForward } from './kernels/kernels.js';
import { tf } from './tensorflow.js';

/**
 * Runs a differentiable operation with hand-written forward and backward passes. Intermediates are freed at the end of
 * each pass, saved tensors and the incoming gradient at the end of the backward pass. Autograd would keep all of them
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
      // Autograd requires some tensor even for a gradient that it does not use.
      return gradients.map((gradient) => gradient ?? dy);
    };
    return { value, gradFunc };
  });
  return op(...inputs) as T;
}

/**
 * Returns x itself, [...] -> [...]. The backward pass calls `callback` with the gradient of the result once it is final, i.e.
 * after every use of the result has been differentiated, which is at the same place between the collectives on every rank.
 */
export function onGradient<T extends tf.Tensor>(x: T, callback: (gradient: tf.Tensor) => void): T {
  return fusedOp([x], () => ({
    value: x.clone(),
    saved: [],
    backward: (dy) => {
      callback(dy);
      return [dy];
    },
  }));
}

/**
 * Frees the inputs of an operation that is the last to read them: `consume([x, y], residual(x, y))`. What the
 * operation saved for its backward pass remains, since autograd saves clones. Without this, autograd would
 * keep the inputs until the end of the forward pass.
 *
 * @param result result of the operation; an input that is also the result is not freed
 */
export function consume<Result>(inputs: readonly tf.Tensor[], result: Result): Result {
  for (const input of inputs) if (input !== result) input.dispose();
  return result;
}

/** Tells whether a gradient is being recorded, so that operations must keep what their backward pass needs. */
export function isRecording(): boolean {
  return tf.engine().state.gradientDepth > 0;
}

/** Frees what the operations of a gradient that was not completed have saved, which TensorFlow would keep for ever. */
export function dropTape(): void {
  const { state } = tf.engine();
  for (const { saved } of state.activeTape ?? []) for (const tensor of saved ?? []) tensor.dispose();
  state.activeTape = null as never;
}
