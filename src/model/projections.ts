import { consume } from '../ops/autograd.js';
import { kernels } from '../ops/kernels/choose-kernels.js';
import type { AttentionShape } from '../ops/operations.js';
import { Rotation } from '../ops/rotation.js';
import type { tf } from '../ops/tensorflow.js';
import { initStd, matrix, matrixSpec } from '../parameters/matrix.js';
import type { ParameterSource, ParameterSpec } from '../parameters/parameters.js';
import { project } from './lora.js';

// Shapes: T tokens, B rows, one of each sequence, d hidden size, H heads of queries, K of keys and values, h size of a head,
// C = (H + 2 K) h.

/** Projections of a layer's attention, with matrices under a prefix. */
export interface Projection {
  specs(prefix: string, dModel: number): ParameterSpec[];
  /** Queries, keys and values, for `causalAttention`: [T, d] -> [T, C]. */
  run(parameters: ParameterSource, prefix: string, xTD: tf.Tensor2D, shape: AttentionShape): tf.Tensor2D;
  /** `run` on rows of the host, row-major, without low-rank pairs, which inference has merged: [B, d] -> [B, C]. */
  onHost(
    parameters: ParameterSource,
    prefix: string,
  ): (xBD: Float32Array, positions: readonly number[]) => Float32Array;
}

/** One matrix for all three. */
export const fusedProjection: Projection = {
  specs: (prefix, dModel) => [matrixSpec(`${prefix}.qkv`, [dModel, 3 * dModel], initStd(dModel))],
  run: (parameters, prefix, xTD) => project(parameters, `${prefix}.qkv`, xTD),
  onHost(parameters, prefix) {
    const qkv = matrix(parameters, `${prefix}.qkv`);
    return (xBD, positions) => kernels().hostRowsProduct(xBD, positions.length, qkv);
  },
};

/** Three matrices; queries and keys are rotated by their positions. */
export function rotaryProjections(
  { numHeads, numKeyValueHeads }: { readonly numHeads: number; readonly numKeyValueHeads: number },
  frequencies: Float64Array,
): Projection {
  const size = 2 * frequencies.length;
  const rotation = new Rotation(frequencies);
  const names = (prefix: string) => ['q', 'k', 'v'].map((name) => `${prefix}.${name}`);
  return {
    specs: (prefix, dModel) =>
      Object.entries({ q: numHeads, k: numKeyValueHeads, v: numKeyValueHeads }).map(([name, heads]) =>
        matrixSpec(`${prefix}.${name}`, [dModel, heads * size], initStd(dModel)),
      ),
    run(parameters, prefix, xTD, shape) {
      const [q, k, v] = names(prefix).map((name) => project(parameters, name, xTD));
      return consume([q!, k!, v!], rotation.queriesKeysValues(q!, k!, v!, shape));
    },
    onHost(parameters, prefix) {
      const all = names(prefix).map((name) => matrix(parameters, name));
      const width = (numHeads + 2 * numKeyValueHeads) * size;
      return (xBD, positions) => {
        const qkvBC = new Float32Array(positions.length * width);
        let column = 0;
        for (const each of all) {
          const part = kernels().hostRowsProduct(xBD, positions.length, each);
          const columns = each.shape[1];
          for (const row of positions.keys())
            qkvBC.set(part.subarray(row * columns, (row + 1) * columns), row * width + column);
          column += columns;
        }
        for (const [row, position] of positions.entries())
          rotation.rotate(qkvBC, row * width, numHeads + numKeyValueHeads, position, 1);
        return qkvBC;
      };
    },
  };
}
