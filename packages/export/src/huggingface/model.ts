import type { LazyTensor } from './weights.js';

/** A model as transformers reads it: the fields of config.json and the tensors of model.safetensors. */
export interface HuggingFaceModel {
  readonly config: Readonly<Record<string, unknown>>;
  readonly tensors: readonly LazyTensor[];
}
