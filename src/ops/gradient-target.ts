import type * as tf from '@tensorflow/tfjs-node';

/** Destination of the gradient of a matrix, so that kernels need not make a tensor that is then copied. */
export interface GradientTarget {
  /** Values of the gradient, as many as the matrix has elements. */
  readonly values: Float32Array;
  /** Add to what is there. */
  readonly accumulates: boolean;
}

/** Targets by data id, which the clones that autograd saves share. */
const targets = new WeakMap<object, GradientTarget | 'unwanted'>();

/**
 * @param target null where a matrix is used several times: autograd then adds its gradients; `unwanted` if it has none, as
 *   no variable that is differentiated leads to it
 */
export function setGradientTarget(matrix: tf.Tensor, target: GradientTarget | 'unwanted' | null): void {
  if (target === null) targets.delete(matrix.dataId);
  else targets.set(matrix.dataId, target);
}

/** Kernels may write a gradient there, once, and give a tensor of that memory for it. */
export function gradientTargetOf(matrix: tf.Tensor): GradientTarget | undefined {
  const target = targets.get(matrix.dataId);
  return target === 'unwanted' ? undefined : target;
}

/** Computes the gradient of a matrix if it is wanted. */
export function ifWanted<T>(matrix: tf.Tensor, compute: () => T): T | undefined {
  return targets.get(matrix.dataId) === 'unwanted' ? undefined : compute();
}
