import { mapTuple } from '../../../map-tuple.js';
import { ifWanted } from '../../gradient-target.js';
import type { tf } from '../../tensorflow.js';
import type { FusedForward, RowScatter } from '../kernels.js';
import type { DeviceMemory } from './device-memory.js';
import { add } from './elementwise.js';
import { rowwise } from './shaders.js';

// Shapes: T rows or tokens, N chosen rows, K choices of a token, d hidden size, V vocabulary, P longest sequence.

const GATHER = rowwise(
  'gather',
  ['x', 'u32 indices', 'out y'],
  `
  for (var i = index; i < p.width; i += WIDTH) { y[begin + i] = x[indices[row] * p.width + i]; }
`,
);

/** Adds up the rows of x that belong to each row of y, in their order: the r-th of y has `rows[begins[r]]` to `rows[begins[r + 1] - 1]`. */
const SUM_OF_ROWS = rowwise(
  'sum of rows',
  ['x', 'u32 begins', 'u32 rows', 'out y'],
  `
  for (var i = index; i < p.width; i += WIDTH) {
    var sum = 0.0;
    for (var at = begins[row]; at < begins[row + 1]; at++) { sum += x[rows[at] * p.width + i]; }
    y[begin + i] = sum;
  }
`,
);

/** Scales the rows of x by weights that are chosen by index. */
const SCALE_ROWS = rowwise(
  'scale rows',
  ['x', 'weights', 'u32 choices', 'out y'],
  `
  for (var i = index; i < p.width; i += WIDTH) { y[begin + i] = weights[choices[row]] * x[begin + i]; }
`,
);

/** Writes the dot product of two rows to the element that is chosen by index. */
const DOT_ROWS = rowwise(
  'dot rows',
  ['x', 'y', 'u32 choices', 'out dots'],
  `
  var part = 0.0;
  for (var i = index; i < p.width; i += WIDTH) { part += x[begin + i] * y[begin + i]; }
  let dot = total(part, index);
  if (index == 0) { dots[choices[row]] = dot; }
`,
);

/** Implements `Kernels.rowNorms`, of which only the norms are read. */
export function rowNorms(memory: DeviceMemory, xTD: tf.Tensor2D): Float64Array {
  const [numRows, width] = xTD.shape;
  const x = memory.bufferOf(xTD);
  const rows = Int32Array.from({ length: numRows }, (_, row) => row);
  return memory.borrow(rows, (choices) =>
    memory.borrow(numRows, (squares) => {
      memory.device.run(DOT_ROWS, [x, x, choices, squares], [numRows, width], numRows);
      return Float64Array.from(memory.device.read(squares, numRows), Math.sqrt);
    }),
  );
}

/** Returns the rows of x by index: [N, d]. */
function gathered(memory: DeviceMemory, xTD: tf.Tensor, indicesN: Int32Array): tf.Tensor2D {
  const width = xTD.shape[1]!;
  const y = memory.create([indicesN.length, width]);
  const x = memory.bufferOf(xTD);
  memory.borrow(indicesN, (indices) =>
    memory.device.run(GATHER, [x, indices, y.buffer], [indicesN.length, width], indicesN.length),
  );
  return y.tensor as tf.Tensor2D;
}

/** Adds each row to the result's row at its index: [numRows, d]. */
function sumOfRows(
  memory: DeviceMemory,
  rowsND: tf.Tensor,
  indicesN: Int32Array,
  numRows: number,
): tf.Tensor2D {
  const width = rowsND.shape[1]!;
  const begins = new Int32Array(numRows + 1);
  for (const index of indicesN) begins[index + 1]!++;
  for (let row = 0; row < numRows; row++) begins[row + 1]! += begins[row]!;
  const next = begins.slice();
  const order = new Int32Array(indicesN.length);
  indicesN.forEach((index, row) => {
    order[next[index]!++] = row;
  });
  const y = memory.create([numRows, width]);
  const x = memory.bufferOf(rowsND);
  memory.borrow(begins, (ofRows) =>
    memory.borrow(order, (rows) =>
      memory.device.run(SUM_OF_ROWS, [x, ofRows, rows, y.buffer], [numRows, width], numRows),
    ),
  );
  return y.tensor as tf.Tensor2D;
}

/** Scales rows by weights that are chosen by index. */
export function scaledRows(
  memory: DeviceMemory,
  rowsND: tf.Tensor,
  weights: tf.Tensor,
  choicesN: Int32Array,
): tf.Tensor2D {
  const [numRows, width] = rowsND.shape as [number, number];
  const y = memory.create(rowsND.shape);
  const inputs = [memory.bufferOf(rowsND), memory.bufferOf(weights)];
  memory.borrow(choicesN, (choices) =>
    memory.device.run(SCALE_ROWS, [...inputs, choices, y.buffer], [numRows, width], numRows),
  );
  return y.tensor as tf.Tensor2D;
}

/** Implements `Kernels.embedding`. */
export function embedding(
  memory: DeviceMemory,
  matrices: readonly [tokensVD: tf.Tensor2D, positionsPD: tf.Tensor2D],
  indices: readonly [tokenIdsT: Int32Array, positionsT: Int32Array],
): FusedForward {
  const [ofTokens, ofPositions] = mapTuple([0, 1], (i) => gathered(memory, matrices[i]!, indices[i]!));
  return {
    value: add(memory, ofTokens, ofPositions),
    saved: [],
    backward: (dyTD) =>
      matrices.map((matrix, i) =>
        ifWanted(matrix, () => sumOfRows(memory, dyTD, indices[i]!, matrix.shape[0])),
      ),
  };
}

/** Implements `Kernels.gatherRows`. */
export function gatherRows(memory: DeviceMemory, xTD: tf.Tensor2D, indicesN: Int32Array): FusedForward {
  return {
    value: gathered(memory, xTD, indicesN),
    saved: [],
    backward: (dyND) => [sumOfRows(memory, dyND, indicesN, xTD.shape[0])],
  };
}

/** Implements `Kernels.scatterRows`. */
export function scatterRows(
  memory: DeviceMemory,
  rowsND: tf.Tensor2D,
  weightsTK: tf.Tensor2D | null,
  { numTokens, tokensN, choicesN }: RowScatter,
): FusedForward {
  if (weightsTK === null)
    return {
      value: sumOfRows(memory, rowsND, tokensN, numTokens),
      saved: [],
      backward: (dyTD) => [gathered(memory, dyTD, tokensN)],
    };
  return {
    value: sumOfRows(memory, scaledRows(memory, rowsND, weightsTK, choicesN), tokensN, numTokens),
    saved: [rowsND, weightsTK],
    backward: (dyTD, [rows, weights]) => {
      const dyND = gathered(memory, dyTD, tokensN);
      const dWeights = memory.create(weightsTK.shape);
      memory.device.clear(dWeights.buffer);
      const inputs = [memory.bufferOf(dyND), memory.bufferOf(rows!)];
      const sizes = [tokensN.length, rowsND.shape[1]];
      memory.borrow(choicesN, (choices) =>
        memory.device.run(DOT_ROWS, [...inputs, choices, dWeights.buffer], sizes, tokensN.length),
      );
      return [scaledRows(memory, dyND, weights!, choicesN), dWeights.tensor];
    },
  };
}

/** Implements `Kernels.sliceRows`. */
export function sliceRows(memory: DeviceMemory, xTD: tf.Tensor2D, begin: number, count: number): tf.Tensor2D {
  const width = xTD.shape[1];
  const rows = memory.create([count, width]);
  memory.device.copy(memory.bufferOf(xTD), begin * width, rows.buffer, 0, count * width);
  return rows.tensor as tf.Tensor2D;
}

/** Implements `Kernels.concatRows`; one matrix is returned as it is. */
export function concatRows(memory: DeviceMemory, parts: readonly tf.Tensor2D[]): tf.Tensor2D {
  if (parts.length === 1) return parts[0]!;
  const numRows = parts.reduce((sum, part) => sum + part.shape[0], 0);
  const all = memory.create([numRows, parts[0]!.shape[1]]);
  let at = 0;
  for (const part of parts) {
    memory.device.copy(memory.bufferOf(part), 0, all.buffer, at, part.size);
    at += part.size;
  }
  return all.tensor as tf.Tensor2D;
}
