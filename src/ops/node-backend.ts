import * as tf from '@tensorflow/tfjs-node';
import './tfjs-warnings.js';

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
