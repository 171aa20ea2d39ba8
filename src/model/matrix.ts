import type * as tf from '@tensorflow/tfjs-node';
import type { ParameterSource, ParameterSpec } from './parameters.js';

/** GPT-2's standard deviation of initial weights. */
export const INIT_STD = 0.02;

/** Standard deviation of a matrix that writes into the residual stream: 0.02 / sqrt(2 layers), as GPT-2. */
export function residualStd(numLayers: number): number {
  return INIT_STD / Math.sqrt(2 * numLayers);
}

export function matrixSpec(
  name: string,
  shape: readonly [number, number],
  std: number = INIT_STD,
  placement: ParameterSpec['placement'] = 'shared',
): ParameterSpec {
  return { name, shape, init: { kind: 'normal', std }, placement, decay: true };
}

export function matrix(parameters: ParameterSource, name: string): tf.Tensor2D {
  return parameters.get(name) as tf.Tensor2D;
}
