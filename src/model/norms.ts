import { layerNorm } from '../ops/operations.js';
import { rmsNorm } from '../ops/rms-norm.js';
import type { tf } from '../ops/tensorflow.js';
import { vectorSpec } from '../parameters/matrix.js';
import type { ParameterSource, ParameterSpec } from '../parameters/parameters.js';

/** A norm of rows, whose parameters have names with a given prefix. */
export interface Norm {
  specs(prefix: string, dModel: number): ParameterSpec[];
  /** Normalises rows: [T, d] -> [T, d]. */
  run(parameters: ParameterSource, prefix: string, xTD: tf.Tensor2D): tf.Tensor2D;
}

/** Layer norm with gain and bias. */
export const layerNorms: Norm = {
  specs: (prefix, dModel) => [
    vectorSpec(`${prefix}.gain`, dModel, 1),
    vectorSpec(`${prefix}.bias`, dModel, 0),
  ],
  run: (parameters, prefix, xTD) =>
    layerNorm(xTD, parameters.get(`${prefix}.gain`), parameters.get(`${prefix}.bias`)),
};

/** Creates an RMS norm with a gain, whose rows may be single heads of wider rows. */
export const rmsNorms = (epsilon: number): Norm => ({
  specs: (prefix, dModel) => [vectorSpec(`${prefix}.gain`, dModel, 1)],
  run: (parameters, prefix, xTD) => rmsNorm(xTD, parameters.get(`${prefix}.gain`), epsilon),
});
