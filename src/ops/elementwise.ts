import { mapTuple } from '../map-tuple.js';
import { fusedOp } from './autograd.js';
import { kernels } from './kernels/choose-kernels.js';
import type { tf } from './tensorflow.js';

// Operations on scores of gates and on losses, on the host: they have so few elements that a call of TensorFlow would take longer
// than the loop. Shapes: T rows, C columns.

export type Combination = 'add' | 'subtract' | 'multiply' | 'divide';

/**
 * Combines two tensors element by element. What has one row or one column is repeated along it, and a vector is one row:
 * [T, C], [T, 1], [C] or [] with another of these.
 *
 * @throws RangeError if neither is, and their rows or columns are not as many
 */
export function combine<Result extends tf.Tensor>(op: Combination, x: tf.Tensor, y: tf.Tensor): Result {
  const inputs = [x, y] as const;
  const [ofX, ofY] = mapTuple(inputs, rowsAndColumns);
  const numRows = ofX.rows === 1 ? ofY.rows : ofX.rows;
  const numColumns = ofX.columns === 1 ? ofY.columns : ofX.columns;
  for (const { rows, columns } of [ofX, ofY])
    if ((rows !== numRows && rows !== 1) || (columns !== numColumns && columns !== 1))
      throw new RangeError(`${op} of scores of the shapes [${x.shape}] and [${y.shape}]`);
  return fusedOp(inputs, () => {
    const shape = [numRows, numColumns].slice(2 - Math.max(x.shape.length, y.shape.length));
    const { tensor, values } = kernels().create(shape);
    const [xs, ys] = mapTuple(inputs, valuesOf);
    for (let row = 0, i = 0; row < numRows; row++)
      for (let column = 0; column < numColumns; column++, i++)
        values[i] = combined(
          op,
          xs[row * ofX.down + column * ofX.right]!,
          ys[row * ofY.down + column * ofY.right]!,
        );
    return {
      value: tensor,
      saved: inputs,
      backward: (dyTC, saved) => {
        const [dy, keptX, keptY] = mapTuple([dyTC, ...saved], valuesOf);
        const [dx, dOther] = mapTuple(inputs, ({ size }) => new Float64Array(size));
        for (let row = 0, i = 0; row < numRows; row++)
          for (let column = 0; column < numColumns; column++, i++) {
            const atX = row * ofX.down + column * ofX.right;
            const atY = row * ofY.down + column * ofY.right;
            dx[atX]! += dy[i]! * slopeOfLeft(op, keptY[atY]!);
            dOther[atY]! += dy[i]! * slopeOfRight(op, keptX[atX]!, keptY[atY]!);
          }
        return [tensorOf(dx, x.shape), tensorOf(dOther, y.shape)];
      },
    };
  });
}

function combined(op: Combination, x: number, y: number): number {
  if (op === 'add') return x + y;
  if (op === 'subtract') return x - y;
  return op === 'multiply' ? x * y : x / y;
}

/** Returns the derivative of x op y by x. */
function slopeOfLeft(op: Combination, y: number): number {
  if (op === 'multiply') return y;
  return op === 'divide' ? 1 / y : 1;
}

/** Returns the derivative of x op y by y. */
function slopeOfRight(op: Combination, x: number, y: number): number {
  if (op === 'add') return 1;
  if (op === 'subtract') return -1;
  return op === 'multiply' ? x : -x / (y * y);
}

export type Curve = 'relu' | 'sigmoid' | 'tanh' | 'exp';

/** Computes a function of each element. */
export function curve<Same extends tf.Tensor>(op: Curve, x: Same): Same {
  return fusedOp([x], () => {
    const { tensor, values } = kernels().create(x.shape);
    const xs = valuesOf(x);
    for (let i = 0; i < xs.length; i++) values[i] = pointOf(op, xs[i]!);
    return {
      value: tensor,
      saved: [tensor],
      backward: (dyTC, [kept]) => {
        const { tensor: dx, values: slopes } = kernels().create(x.shape);
        const [dy, ys] = mapTuple([dyTC, kept], valuesOf);
        for (let i = 0; i < ys.length; i++) slopes[i] = dy[i]! * slopeAt(op, ys[i]!);
        return [dx];
      },
    };
  });
}

function pointOf(op: Curve, x: number): number {
  if (op === 'relu') return Math.max(0, x);
  if (op === 'exp') return Math.exp(x);
  if (op === 'tanh') return Math.tanh(x);
  if (op === 'sigmoid') return 1 / (1 + Math.exp(-x));
  throw new RangeError(`${op}: no such operation`);
}

/** Returns the derivative of a function where its value is y. */
function slopeAt(op: Curve, y: number): number {
  if (op === 'relu') return y > 0 ? 1 : 0;
  if (op === 'exp') return y;
  return op === 'tanh' ? 1 - y * y : y * (1 - y);
}

/** Computes the softmax of each row, [T, C] -> [T, C]. */
export function softmaxRows(xTC: tf.Tensor2D): tf.Tensor2D {
  const numColumns = xTC.shape[1];
  return fusedOp([xTC], () => {
    const result = kernels().create(xTC.shape);
    const [x, y] = [valuesOf(xTC), result.values];
    for (let begin = 0; begin < x.length; begin += numColumns) {
      const end = begin + numColumns;
      let max = -Infinity;
      for (let i = begin; i < end; i++) max = Math.max(max, x[i]!);
      let sum = 0;
      for (let i = begin; i < end; i++) {
        y[i] = Math.exp(x[i]! - max);
        sum += y[i]!;
      }
      for (let i = begin; i < end; i++) y[i]! /= sum;
    }
    return {
      value: result.tensor,
      saved: [result.tensor],
      // dx = y (dy - y . dy)
      backward: (dyTC, [keptTC]) => {
        const dx = kernels().create(xTC.shape);
        const [dy, kept] = mapTuple([dyTC, keptTC], valuesOf);
        for (let begin = 0; begin < kept.length; begin += numColumns) {
          const end = begin + numColumns;
          let along = 0;
          for (let i = begin; i < end; i++) along += kept[i]! * dy[i]!;
          for (let i = begin; i < end; i++) dx.values[i] = kept[i]! * (dy[i]! - along);
        }
        return [dx.tensor];
      },
    };
  });
}

/**
 * Computes sum_c w_c mean_t x_{t,c}, [T, C] -> [], or with one weight of a vector.
 *
 * @throws RangeError if there are not as many weights as columns
 */
export function weightedMean(xTC: tf.Tensor, weightsC: ArrayLike<number>): tf.Scalar {
  if (weightsC.length !== 1 && weightsC.length !== xTC.shape.at(-1))
    throw new RangeError(`${weightsC.length} weights for scores of the shape [${xTC.shape}]`);
  const numRows = xTC.size / weightsC.length;
  return fusedOp([xTC], () => {
    let sum = 0;
    valuesOf(xTC).forEach((x, i) => {
      sum += x * weightsC[i % weightsC.length]!;
    });
    return {
      value: tensorOf([sum / numRows], []),
      saved: [],
      backward: (dy) => {
        const dx = kernels().create(xTC.shape);
        const each = valuesOf(dy)[0]! / numRows;
        for (let i = 0; i < dx.values.length; i++) dx.values[i] = each * weightsC[i % weightsC.length]!;
        return [dx.tensor];
      },
    };
  });
}

/** Computes sqrt(mean of b_i^2 + least) over each of E groups of coordinates, [d] -> [E]. */
export function groupNorms(factorsD: tf.Tensor1D, numGroups: number, least: number): tf.Tensor {
  const width = factorsD.size / numGroups;
  return fusedOp([factorsD], () => {
    const squaresE = new Float64Array(numGroups).fill(least);
    valuesOf(factorsD).forEach((factor, i) => {
      squaresE[Math.floor(i / width)]! += factor ** 2 / width;
    });
    const norms = tensorOf(squaresE.map(Math.sqrt), [numGroups]);
    return {
      value: norms,
      saved: [factorsD, norms],
      backward: (dyE, saved) => {
        const [dy, kept, normsE] = mapTuple([dyE, ...saved], valuesOf);
        const gradient = Float64Array.from(kept, (factor, i) => {
          const group = Math.floor(i / width);
          return (dy[group]! * factor) / (width * normsE[group]!);
        });
        return [tensorOf(gradient, factorsD.shape)];
      },
    };
  });
}

/**
 * Rows and columns of a tensor, and the distance in elements from one row (`down`) or column (`right`) to the next; 0 where the
 * only one is repeated.
 */
function rowsAndColumns({ shape }: tf.Tensor) {
  if (shape.length > 2) throw new RangeError(`scores of the shape [${shape}]: they are matrices or vectors`);
  const [rows, columns] = shape.length === 2 ? (shape as [number, number]) : [1, shape[0] ?? 1];
  return { rows, columns, down: rows === 1 ? 0 : columns, right: columns === 1 ? 0 : 1 };
}

function valuesOf(tensor: tf.Tensor): Float32Array {
  return tensor.dataSync<'float32'>();
}

function tensorOf(values: ArrayLike<number>, shape: readonly number[]): tf.Tensor {
  const { tensor, values: own } = kernels().create(shape);
  own.set(values);
  return tensor;
}
