import { consume } from '../ops/autograd.js';
import { addBias } from '../ops/bias.js';
import type { AttentionShape } from '../ops/operations.js';
import { Rotation } from '../ops/rotation.js';
import type { tf } from '../ops/tensorflow.js';
import { initStd, matrixSpec, vectorSpec } from '../parameters/matrix.js';
import type { ParameterSource, ParameterSpec } from '../parameters/parameters.js';
import { project } from './lora.js';
import type { Norm } from './norms.js';

// Shapes: T tokens, d hidden size, H heads of queries, K of keys and values, h size of a head, C = (H + 2 K) h.

/** Projections of a layer's attention, whose matrices have names with a given prefix. */
export interface Projection {
  specs(prefix: string, dModel: number): ParameterSpec[];
  /** Computes queries, keys and values for `causalAttention`: [T, d] -> [T, C]. */
  run(parameters: ParameterSource, prefix: string, xTD: tf.Tensor2D, shape: AttentionShape): tf.Tensor2D;
  /** Returns the columns of the weighted sums that attention computes, H h. */
  attended(dModel: number): number;
}

/** One matrix for queries, keys and values. */
export const fusedProjection: Projection = {
  specs: (prefix, dModel) => [matrixSpec(`${prefix}.qkv`, [dModel, 3 * dModel], initStd(dModel))],
  run: (parameters, prefix, xTD) => project(parameters, `${prefix}.qkv`, xTD),
  attended: (dModel) => dModel,
};

interface RotaryOptions {
  readonly numHeads: number;
  readonly numKeyValueHeads: number;
  /** Frequencies from `rotaryFrequencies`, length h / 2. */
  readonly frequencies: Float64Array;
  /** Whether a bias is added to queries, keys and values. */
  readonly hasBias: boolean;
  /** Normalises each head of queries and keys; null for no norm. */
  readonly headNorm: Norm | null;
}

/** Uses three matrices, for queries, keys and values; rotates queries and keys by position, after bias and norm. */
export function rotaryProjections(options: RotaryOptions): Projection {
  const { numHeads, numKeyValueHeads, frequencies, hasBias, headNorm } = options;
  const size = 2 * frequencies.length;
  const rotation = new Rotation(frequencies);
  const parts = [
    { name: 'q', width: numHeads * size, norm: headNorm },
    { name: 'k', width: numKeyValueHeads * size, norm: headNorm },
    { name: 'v', width: numKeyValueHeads * size, norm: null },
  ];
  return {
    specs: (prefix, dModel) =>
      parts.flatMap(({ name, width, norm }) => [
        matrixSpec(`${prefix}.${name}`, [dModel, width], initStd(dModel)),
        ...(hasBias ? [vectorSpec(`${prefix}.${name}.bias`, width, 0)] : []),
        ...(norm?.specs(`${prefix}.${name}_norm`, size) ?? []),
      ]),
    run(parameters, prefix, xTD, shape) {
      const [q, k, v] = parts.map(({ name, norm }) => {
        let partTC = project(parameters, `${prefix}.${name}`, xTD);
        if (hasBias) partTC = consume([partTC], addBias(partTC, parameters.get(`${prefix}.${name}.bias`)));
        return norm === null
          ? partTC
          : consume([partTC], norm.run(parameters, `${prefix}.${name}_norm`, partTC));
      });
      return consume([q!, k!, v!], rotation.queriesKeysValues(q!, k!, v!, shape));
    },
    attended: () => numHeads * size,
  };
}
