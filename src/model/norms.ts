import { layerNormOnHost } from '../ops/on-host.js';
import { layerNorm } from '../ops/operations.js';
import { rmsNorm, rmsNormOnHost } from '../ops/rms-norm.js';
import type { tf } from '../ops/tensorflow.js';
import { vectorSpec } from '../parameters/matrix.js';
import type { ParameterSource, ParameterSpec, ParameterStore } from '../parameters/parameters.js';

/** A norm of rows, whose parameters have names with a given prefix. */
export interface Norm {
  specs(prefix: string, dModel: number): ParameterSpec[];
  /** Normalises rows: [T, d] -> [T, d]. */
  run(parameters: ParameterSource, prefix: string, xTD: tf.Tensor2D): tf.Tensor2D;
  /** Returns `run` for rows on the host, row-major. */
  onHost(parameters: ParameterStore, prefix: string): (xTD: Float32Array) => Float32Array;
}

/** Layer norm with gain and bias. */
export const layerNorms: Norm = {
  specs: (prefix, dModel) => [
    vectorSpec(`${prefix}.gain`, dModel, 1),
    vectorSpec(`${prefix}.bias`, dModel, 0),
  ],
  run: (parameters, prefix, xTD) =>
    layerNorm(xTD, parameters.get(`${prefix}.gain`), parameters.get(`${prefix}.bias`)),
  onHost(parameters, prefix) {
    const [gain, bias] = [parameters.values(`${prefix}.gain`), parameters.values(`${prefix}.bias`)];
    return (xTD) => layerNormOnHost(xTD, gain, bias);
  },
};

/** Creates an RMS norm with a gain, whose rows may be single heads of wider rows. */
export const rmsNorms = (epsilon: number): Norm => ({
  specs: (prefix, dModel) => [vectorSpec(`${prefix}.gain`, dModel, 1)],
  run: (parameters, prefix, xTD) => rmsNorm(xTD, parameters.get(`${prefix}.gain`), epsilon),
  onHost(parameters, prefix) {
    const gain = parameters.values(`${prefix}.gain`);
    return (xTD) => rmsNormOnHost(xTD, gain, epsilon);
  },
});
