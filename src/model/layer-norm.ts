import type * as tf from '@tensorflow/tfjs-node';
import { layerNorm } from '../ops/operations.js';
import type { ParameterSource, ParameterSpec } from '../parameters/parameters.js';

export function normSpecs(prefix: string, dModel: number): ParameterSpec[] {
  const shared = { shape: [dModel], placement: 'shared', decay: false } as const;
  return [
    { ...shared, name: `${prefix}.gain`, init: { kind: 'constant', value: 1 } },
    { ...shared, name: `${prefix}.bias`, init: { kind: 'constant', value: 0 } },
  ];
}

/** Layer norm with the gain and bias named `prefix`: [T, d] -> [T, d]. */
export function norm(parameters: ParameterSource, prefix: string, xTD: tf.Tensor2D): tf.Tensor2D {
  return layerNorm(xTD, parameters.get(`${prefix}.gain`), parameters.get(`${prefix}.bias`));
}
