import type * as tf from '@tensorflow/tfjs-node';

/**
 * Applies the last operation that reads a tensor, and frees it. What the operation has saved for its backward stays:
 * autograd saves clones. It would keep the tensor itself until the end of the forward pass, whether needed or not.
 *
 * @param use may return the tensor, which then stays
 */
export function lastUse<T extends tf.Tensor, Result>(x: T, use: (x: T) => Result): Result {
  const result = use(x);
  if ((result as unknown) !== x) x.dispose();
  return result;
}
