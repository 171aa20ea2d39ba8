import type * as tf from '@tensorflow/tfjs-node';
import { nodeBackend } from '../../node-backend.js';

/**
 * Runs a TensorFlow operation that the JavaScript library does not expose, on float32 tensors, with no attributes
 * except their type and booleans. It has no gradient, so it must be called inside a fused operation.
 *
 * @param name name of an operation in both TensorFlow 1.15 and 2.9
 */
export function rawOp(
  name: string,
  inputs: readonly tf.Tensor[],
  switches: Readonly<Record<string, boolean>> = {},
): tf.Tensor {
  const backend = nodeBackend();
  const { TF_ATTR_TYPE, TF_ATTR_BOOL, TF_FLOAT } = backend.binding;
  const attributes = Object.entries(switches).map(([key, value]) => ({
    name: key,
    type: TF_ATTR_BOOL,
    value,
  }));
  return backend.executeSingleOutput(
    name,
    [{ name: 'T', type: TF_ATTR_TYPE, value: TF_FLOAT }, ...attributes],
    inputs,
  );
}
