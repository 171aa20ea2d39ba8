import type { FeedForwardWeights } from '../ops/kernels/kernels.js';
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

/** The matrices named `prefix`. */
export function feedForwardWeights(parameters: ParameterSource, prefix: string): FeedForwardWeights {
  return { wInDF: matrix(parameters, `${prefix}.w_in`), wOutFD: matrix(parameters, `${prefix}.w_out`) };
}
