import { tf } from './tensorflow.js';

/** An operation's attribute, in the form of @tensorflow/tfjs-node's addon. */
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

/** The part of the addon that is used here. */
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
  deleteTensor(id: number): void;
  /** @returns the id of a session */
  loadSavedModel(folder: string, tags: string): number;
  /** @param inputs comma-separated names of the tensors to feed; `outputs` those to fetch */
  runSavedModel(
    session: number,
    inputIds: readonly number[],
    inputs: string,
    outputs: string,
  ): NativeTensor[];
}

/** The undeclared part of @tensorflow/tfjs-node's backend that is used here. */
export interface NodeBackend {
  binding: NodeBinding;
  /** @returns whether its memory has been freed, because nothing else refers to it */
  disposeData(dataId: object, force?: boolean): boolean;
  /** Values by data id, null once the addon has them; and the id of the tensor in the addon, negative if there is none. */
  readonly tensorMap: { get(dataId: object): { values: ArrayBufferView | null; id: number } };
  readSync(dataId: object): ArrayBufferView;
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
 * Runs a function with some members of the backend's addon replaced by `own`.
 *
 * compiled.ts records graphs this way. TensorFlow for Node has no graph mode, but every operation of `tf`
 * calls the addon's `executeOp` and every constant its `createTensor`, so these two see all that a function
 * does. The addon's properties are read-only, but the backend looks up its `binding` at each call, and that
 * can be replaced by a proxy. All other members are passed through, bound to the addon, as its native code
 * requires. If a later TensorFlow for Node renames any of this, test/ops/compiled.test.ts fails.
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
