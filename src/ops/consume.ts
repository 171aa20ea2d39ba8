import type * as tf from '@tensorflow/tfjs-node';

/**
 * Frees the inputs of an operation that is the last to read them: `consume([x, y], residual(x, y))`. What the operation
 * saved for its backward stays, since autograd saves clones. Without this, autograd would keep the inputs until the end
 * of the forward pass.
 *
 * @param result of the operation; an input that is the result stays
 */
export function consume<Result>(inputs: readonly tf.Tensor[], result: Result): Result {
  for (const input of inputs) if (input !== result) input.dispose();
  return result;
}
