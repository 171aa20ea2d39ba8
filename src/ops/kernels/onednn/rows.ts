import { ifWanted } from '../../gradient-target.js';
import type { tf } from '../../tensorflow.js';
import type { FusedForward, RowScatter } from '../kernels.js';
import type { Context } from './context.js';

// Shapes: T rows or tokens, N chosen rows, K choices of a token, d hidden size, V vocabulary, S positions, P longest sequence.

/** Implements `Kernels.embedding`. */
export function embedding(
  { memory }: Context,
  tokensVD: tf.Tensor2D,
  positionsPD: tf.Tensor2D,
  tokenIdsT: Int32Array,
  seqLen: number,
  positionsT?: Int32Array,
): FusedForward {
  const positions = positionsT ?? Int32Array.from(tokenIdsT, (_, row) => row % seqLen);
  const d = tokensVD.shape[1];
  const y = memory.create([tokenIdsT.length, d]);
  const [ofTokens, ofPositions] = [memory.operandOf(tokensVD).values, memory.operandOf(positionsPD).values];
  for (let row = 0; row < tokenIdsT.length; row++) {
    const [at, token, position] = [row * d, tokenIdsT[row]! * d, positions[row]! * d];
    for (let i = 0; i < d; i++) y.values[at + i] = ofTokens[token + i]! + ofPositions[position + i]!;
  }
  return {
    value: y.tensor,
    saved: [],
    backward: (dyTD) => {
      const gradient = (matrix: tf.Tensor2D, indices: Int32Array) =>
        ifWanted(matrix, () => sumOfRows(memory, dyTD, indices, matrix.shape[0]).tensor);
      return [gradient(tokensVD, tokenIdsT), gradient(positionsPD, positions)];
    },
  };
}

/** Implements `Kernels.gatherRows`. */
export function gatherRows({ memory }: Context, xTD: tf.Tensor2D, indicesN: Int32Array): FusedForward {
  return {
    value: rowsAt(memory, xTD, indicesN).tensor,
    saved: [],
    backward: (dyND) => [sumOfRows(memory, dyND, indicesN, xTD.shape[0]).tensor],
  };
}

/** Implements `Kernels.scatterRows`. */
export function scatterRows(
  { memory }: Context,
  rowsND: tf.Tensor2D,
  weightsTK: tf.Tensor2D | null,
  scatter: RowScatter,
): FusedForward {
  const { numTokens, tokensN } = scatter;
  if (weightsTK !== null) return weightedScatter(memory, rowsND, weightsTK, scatter);
  return {
    value: sumOfRows(memory, rowsND, tokensN, numTokens).tensor,
    saved: [],
    backward: (dyTD) => [rowsAt(memory, dyTD, tokensN).tensor],
  };
}

function weightedScatter(
  memory: Memory,
  rowsND: tf.Tensor2D,
  weightsTK: tf.Tensor2D,
  { numTokens, tokensN, choicesN }: RowScatter,
): FusedForward<[rows: tf.Tensor, weights: tf.Tensor]> {
  const d = rowsND.shape[1];
  const y = zeros(memory, [numTokens, d]);
  const rows = memory.operandOf(rowsND).values;
  const weights = memory.operandOf(weightsTK).values;
  for (let row = 0; row < tokensN.length; row++) {
    const weight = weights[choicesN[row]!]!;
    const [at, token] = [row * d, tokensN[row]! * d];
    for (let i = 0; i < d; i++) y.values[token + i]! += weight * rows[at + i]!;
  }
  return {
    value: y.tensor,
    saved: [rowsND, weightsTK],
    backward: (dyTD, [keptRows, keptWeights]) => {
      const dy = memory.operandOf(dyTD).values;
      const rowValues = memory.operandOf(keptRows).values;
      const weightValues = memory.operandOf(keptWeights).values;
      const dRows = memory.create(rowsND.shape);
      const dWeights = zeros(memory, weightsTK.shape);
      for (let row = 0; row < tokensN.length; row++) {
        const [at, token] = [row * d, tokensN[row]! * d];
        const weight = weightValues[choicesN[row]!]!;
        let sum = 0;
        for (let i = 0; i < d; i++) {
          const gradient = dy[token + i]!;
          dRows.values[at + i] = weight * gradient;
          sum += gradient * rowValues[at + i]!;
        }
        dWeights.values[choicesN[row]!]! += sum;
      }
      return [dRows.tensor, dWeights.tensor];
    },
  };
}

type Memory = Context['memory'];

/** Copies the rows at the indices: [N, d]. */
function rowsAt(memory: Memory, xTD: tf.Tensor, indicesN: Int32Array) {
  const d = xTD.shape[1]!;
  const chosen = memory.create([indicesN.length, d]);
  const x = memory.operandOf(xTD).values;
  for (let row = 0; row < indicesN.length; row++)
    chosen.values.set(x.subarray(indicesN[row]! * d, (indicesN[row]! + 1) * d), row * d);
  return chosen;
}

/** Adds each row to the result's row at its index: [numRows, d]. */
function sumOfRows(memory: Memory, rowsND: tf.Tensor, indicesN: Int32Array, numRows: number) {
  const d = rowsND.shape[1]!;
  const sum = zeros(memory, [numRows, d]);
  const rows = memory.operandOf(rowsND).values;
  for (let row = 0; row < indicesN.length; row++) addRow(sum.values, indicesN[row]! * d, rows, row * d, d);
  return sum;
}

function zeros(memory: Memory, dims: readonly number[]) {
  const tensor = memory.create(dims);
  tensor.values.fill(0);
  return tensor;
}

type Values = ReturnType<Memory['operandOf']>['values'];

function addRow(to: Values, begin: number, from: Values, at: number, width: number): void {
  for (let i = 0; i < width; i++) to[begin + i]! += from[at + i]!;
}
