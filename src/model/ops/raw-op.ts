import * as tf from '@tensorflow/tfjs-node';

/** What TensorFlow's own operations need of the backend of @tensorflow/tfjs-node. */
interface NodeBackend {
  readonly binding: {
    readonly TF_ATTR_TYPE: number;
    readonly TF_ATTR_BOOL: number;
    readonly TF_FLOAT: number;
  };
  executeSingleOutput(
    name: string,
    attributes: readonly { readonly name: string; readonly type: number; readonly value: number | boolean }[],
    inputs: readonly tf.Tensor[],
  ): tf.Tensor;
}

/**
 * An operation of TensorFlow that the JavaScript library has no function for, on float32 tensors and with no attributes
 * but their type and switches. Autograd does not see it: call it inside a fused operation.
 *
 * @param name of an operation that is in TensorFlow 1.15 and 2.9
 */
export function rawOp(
  name: string,
  inputs: readonly tf.Tensor[],
  switches: Readonly<Record<string, boolean>> = {},
): tf.Tensor {
  const backend = tf.backend() as unknown as NodeBackend;
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
