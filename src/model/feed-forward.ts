import type * as tf from '@tensorflow/tfjs-node';
import { feedForward as feedForwardOp } from '../ops/feed-forward.js';
import { initStd, matrix, matrixSpec, residualStd } from '../parameters/matrix.js';
import type { ParameterSource, ParameterSpec } from '../parameters/parameters.js';

export interface FeedForwardSize {
  readonly dModel: number;
  readonly dFeedForward: number;
  readonly numLayers: number;
}

export function feedForwardSpecs(
  prefix: string,
  { dModel, dFeedForward, numLayers }: FeedForwardSize,
  placement: ParameterSpec['placement'] = 'shared',
): ParameterSpec[] {
  return [
    matrixSpec(`${prefix}.w_in`, [dModel, dFeedForward], initStd(dModel), placement),
    matrixSpec(`${prefix}.w_out`, [dFeedForward, dModel], residualStd(dModel, numLayers), placement),
  ];
}

/**
 * W_out GELU(W_in x) with the matrices named `prefix`: [T, d] -> [T, d].
 *
 * @param rowsVary whether T differs from step to step
 */
export function feedForward(
  parameters: ParameterSource,
  prefix: string,
  xTD: tf.Tensor2D,
  rowsVary: boolean,
): tf.Tensor2D {
  const [wInDF, wOutFD] = [matrix(parameters, `${prefix}.w_in`), matrix(parameters, `${prefix}.w_out`)];
  return feedForwardOp(xTD, wInDF, wOutFD, rowsVary);
}
