import { consume } from '../ops/autograd.js';
import { addBias, addBiasOnHost } from '../ops/bias.js';
import { kernels } from '../ops/kernels/choose-kernels.js';
import type { AttentionShape } from '../ops/operations.js';
import { Rotation } from '../ops/rotation.js';
import type { tf } from '../ops/tensorflow.js';
import { initStd, matrix, matrixSpec, vectorSpec } from '../parameters/matrix.js';
import type { ParameterSource, ParameterSpec, ParameterStore } from '../parameters/parameters.js';
import { project } from './lora.js';
import type { Norm } from './norms.js';

// Shapes: T tokens, B rows, one of each sequence, d hidden size, H heads of queries, K of keys and values, h
// size of a head, C = (H + 2 K) h.

/** Projections of a layer's attention, whose matrices have names with a given prefix. */
export interface Projection {
  specs(prefix: string, dModel: number): ParameterSpec[];
  /** Computes queries, keys and values for `causalAttention`: [T, d] -> [T, C]. */
  run(parameters: ParameterSource, prefix: string, xTD: tf.Tensor2D, shape: AttentionShape): tf.Tensor2D;
  /** Returns `run` for rows on the host, row-major, without low-rank pairs, merged in inference: [B, d] -> [B, C]. */
  onHost(
    parameters: ParameterStore,
    prefix: string,
  ): (xBD: Float32Array, positions: readonly number[]) => Float32Array;
  /** Returns the columns of the weighted sums that attention computes, H h. */
  attended(dModel: number): number;
}

/** One matrix for queries, keys and values. */
export const fusedProjection: Projection = {
  specs: (prefix, dModel) => [matrixSpec(`${prefix}.qkv`, [dModel, 3 * dModel], initStd(dModel))],
  run: (parameters, prefix, xTD) => project(parameters, `${prefix}.qkv`, xTD),
  onHost(parameters, prefix) {
    const qkv = matrix(parameters, `${prefix}.qkv`);
    return (xBD, positions) => kernels().hostRowsProduct(xBD, positions.length, qkv);
  },
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
  const width = parts.reduce((sum, part) => sum + part.width, 0);
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
    onHost(parameters, prefix) {
      const all = parts.map(({ name, width, norm }) => ({
        width,
        weights: matrix(parameters, `${prefix}.${name}`),
        bias: hasBias ? parameters.values(`${prefix}.${name}.bias`) : null,
        norm: norm?.onHost(parameters, `${prefix}.${name}_norm`),
      }));
      return (xBD, positions) => {
        const qkvBC = new Float32Array(positions.length * width);
        let column = 0;
        for (const { width: columns, weights, bias, norm } of all) {
          const projected = kernels().hostRowsProduct(xBD, positions.length, weights);
          if (bias !== null) addBiasOnHost(projected, bias);
          const part = norm?.(projected) ?? projected;
          for (const row of positions.keys())
            qkvBC.set(part.subarray(row * columns, (row + 1) * columns), row * width + column);
          column += columns;
        }
        for (const [row, position] of positions.entries())
          rotation.rotate(qkvBC, row * width, numHeads + numKeyValueHeads, position, 1);
        return qkvBC;
      };
    },
    attended: () => numHeads * size,
  };
}
