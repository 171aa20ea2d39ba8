import type * as tf from '@tensorflow/tfjs-node';

/** Destination of the gradient of a matrix, so that kernels need not make a tensor that is then copied. */
export interface GradientTarget {
  /** Values of the gradient, as many as the matrix has elements. */
  readonly values: Float32Array;
  /** Whether to add to the existing values. */
  readonly accumulates: boolean;
}

/** Targets by data id, which the aliases that the tape saves share. */
const targets = new WeakMap<object, GradientTarget | 'unwanted'>();

/**
 * @param target null if a matrix is used several times, in which case its gradients are added; `unwanted` if the
 *   matrix has no gradient, because it depends on no differentiated variable
 */
export function setGradientTarget(matrix: tf.Tensor, target: GradientTarget | 'unwanted' | null): void {
  if (target === null) targets.delete(matrix.dataId);
  else targets.set(matrix.dataId, target);
}

/** Returns where a kernel may write the gradient, once; its result is then a tensor over that memory. */
export function gradientTargetOf(matrix: tf.Tensor): GradientTarget | undefined {
  const target = targets.get(matrix.dataId);
  return target === 'unwanted' ? undefined : target;
}

/** Computes the gradient of a matrix if it is wanted. */
export function ifWanted<T>(matrix: tf.Tensor, compute: () => T): T | undefined {
  return targets.get(matrix.dataId) === 'unwanted' ? undefined : compute();
}
