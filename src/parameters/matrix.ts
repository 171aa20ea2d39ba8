import type * as tf from '@tensorflow/tfjs-node';
import type { Parameter } from '../architecture/architecture.js';
import type { ParameterSource, ParameterSpec } from './parameters.js';

/**
 * Returns the standard deviation of initial weights, sqrt(2 / (5 d)) (Nguyen and Salazar, arXiv 1910.05895). GPT-2's
 * 0.02 suits its width; at d = 128 it is a third of the value used here, and the model learns more slowly.
 */
export function initStd(dModel: number): number {
  return Math.sqrt(2 / (5 * dModel));
}

/** Returns the std of matrices that write into the residual stream: `initStd` / sqrt(2 layers), as in GPT-2. */
export function residualStd(dModel: number, numLayers: number): number {
  return initStd(dModel) / Math.sqrt(2 * numLayers);
}

export function matrixSpec(
  { name, shape }: Parameter,
  std: number,
  placement: ParameterSpec['placement'] = 'shared',
): ParameterSpec {
  return { name, shape, init: { kind: 'normal', std }, placement, decay: true };
}

/** Returns the spec of a gain or a bias whose elements are all `value` at first. */
export function vectorSpec({ name, shape }: Parameter, value: number): ParameterSpec {
  return { name, shape, init: { kind: 'constant', value }, placement: 'shared', decay: false };
}

export function matrix(parameters: ParameterSource, name: string): tf.Tensor2D {
  return parameters.get(name) as tf.Tensor2D;
}
