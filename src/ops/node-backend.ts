import { tf } from './tensorflow.js';

/** An attribute of an operation, as the addon of @tensorflow/tfjs-node takes it. */
export interface OpAttribute {
  readonly name: string;
  /** One of the binding's TF_ATTR_*. */
  readonly type: number;
  readonly value: number | boolean | readonly number[];
}

/** A tensor inside the addon. */
export interface NativeTensor {
  readonly id: number;
  readonly shape: readonly number[];
  readonly dtype: number;
}

/** What is used of the addon. */
export interface NodeBinding {
  readonly TF_ATTR_TYPE: number;
  readonly TF_ATTR_BOOL: number;
  readonly TF_ATTR_INT: number;
  readonly TF_FLOAT: number;
  readonly TF_INT32: number;
  executeOp(
    name: string,
    attributes: readonly OpAttribute[],
    inputIds: readonly number[],
    numOutputs: number,
  ): NativeTensor[];
  createTensor(shape: readonly number[], dtype: number, values: Float32Array | Int32Array): number;
  /** @returns the id of a session */
  loadSavedModel(folder: string, tags: string): number;
  /** @param inputs names of the graph's outputs that are fed, separated by commas; `outputs` those that are fetched */
  runSavedModel(
    session: number,
    inputIds: readonly number[],
    inputs: string,
    outputs: string,
  ): NativeTensor[];
}

/** What is used of the backend of @tensorflow/tfjs-node and not declared there. */
export interface NodeBackend {
  binding: NodeBinding;
  getInputTensorIds(tensors: readonly tf.Tensor[]): number[];
  createOutputTensor(tensor: NativeTensor): tf.Tensor;
  executeSingleOutput(
    name: string,
    attributes: readonly OpAttribute[],
    inputs: readonly tf.Tensor[],
  ): tf.Tensor;
}

export function nodeBackend(): NodeBackend {
  return tf.backend() as unknown as NodeBackend;
}

/**
 * Runs a function while the backend finds `own` in the place of some members of its addon.
 *
 * This is how a graph is recorded (compiled.ts). TensorFlow for Node has no graph mode: every operation of `tf` ends in
 * a call of `executeOp` of the addon, and every constant in one of `createTensor`, so whoever stands there sees all that a
 * function does. The addon's properties cannot be written, but the backend looks up its `binding` at each call, and
 * that can be another object. All other members pass through, bound to the addon, which its native code insists on. A
 * later TensorFlow for Node that renames any of this fails in test/ops/compiled.test.ts.
 */
export function withBinding<Result>(own: Partial<NodeBinding>, run: () => Result): Result {
  const backend = nodeBackend();
  const { binding } = backend;
  backend.binding = new Proxy(own as NodeBinding, {
    get(_, property: keyof NodeBinding) {
      if (property in own) return own[property];
      const member = binding[property] as unknown;
      return typeof member === 'function' ? member.bind(binding) : member;
    },
  });
  try {
    return run();
  } finally {
    backend.binding = binding;
  }
}
