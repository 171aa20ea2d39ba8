import { mapTuple } from '../map-tuple.js';
import { fusedOp } from './autograd.js';
import { kernels } from './kernels/choose-kernels.js';
import type { tf } from './tensorflow.js';

// Operations on the scores of a gate, on the host: they have so few elements that a call of TensorFlow would take longer than
// the loop. Shapes: T rows, C columns.

interface Combination {
  readonly value: (x: number, y: number) => number;
  /** Derivatives by x and by y. */
  readonly slopes: readonly [(x: number, y: number) => number, (x: number, y: number) => number];
}

const COMBINATIONS = {
  add: { value: (x, y) => x + y, slopes: [() => 1, () => 1] },
  subtract: { value: (x, y) => x - y, slopes: [() => 1, () => -1] },
  multiply: { value: (x, y) => x * y, slopes: [(_, y) => y, (x) => x] },
  divide: { value: (x, y) => x / y, slopes: [(_, y) => 1 / y, (x, y) => -x / (y * y)] },
} as const satisfies Record<string, Combination>;

/**
 * Combines two tensors element by element. What has one row or one column is repeated along it, and a vector is one row:
 * [T, C], [T, 1], [C] or [] with another of these.
 */
export function combine<Result extends tf.Tensor>(
  op: keyof typeof COMBINATIONS,
  x: tf.Tensor,
  y: tf.Tensor,
): Result {
  const { value, slopes }: Combination = COMBINATIONS[op];
  const inputs = [x, y] as const;
  const [ofX, ofY] = mapTuple(inputs, rowsAndColumns);
  const [numRows, numColumns] = [Math.max(ofX.rows, ofY.rows), Math.max(ofX.columns, ofY.columns)];
  const eachElement = (visit: (i: number, ofX: number, ofY: number) => void) => {
    for (let row = 0, i = 0; row < numRows; row++)
      for (let column = 0; column < numColumns; column++, i++)
        visit(i, row * ofX.down + column * ofX.right, row * ofY.down + column * ofY.right);
  };
  return fusedOp(inputs, () => {
    const shape = [numRows, numColumns].slice(2 - Math.max(x.shape.length, y.shape.length));
    const result = kernels().create(shape);
    const [xs, ys] = mapTuple(inputs, valuesOf);
    eachElement((i, atX, atY) => {
      result.values[i] = value(xs[atX]!, ys[atY]!);
    });
    return {
      value: result.tensor,
      saved: inputs,
      backward: (dy, saved) => {
        const [gradient, keptX, keptY] = mapTuple([dy, ...saved], valuesOf);
        const [dx, dOther] = mapTuple(inputs, ({ size }) => new Float64Array(size));
        eachElement((i, atX, atY) => {
          const [a, b] = [keptX[atX]!, keptY[atY]!];
          dx[atX]! += gradient[i]! * slopes[0](a, b);
          dOther[atY]! += gradient[i]! * slopes[1](a, b);
        });
        return [tensorOf(dx, x.shape), tensorOf(dOther, y.shape)];
      },
    };
  });
}

interface Curve {
  readonly value: (x: number) => number;
  /** Derivative, given x and the value. */
  readonly slope: (x: number, y: number) => number;
}

const CURVES = {
  relu: { value: (x) => Math.max(0, x), slope: (x) => (x > 0 ? 1 : 0) },
  sigmoid: { value: (x) => 1 / (1 + Math.exp(-x)), slope: (_, y) => y * (1 - y) },
  tanh: { value: Math.tanh, slope: (_, y) => 1 - y * y },
  exp: { value: Math.exp, slope: (_, y) => y },
} as const satisfies Record<string, Curve>;

/** Computes a function of each element. */
export function curve<Same extends tf.Tensor>(op: keyof typeof CURVES, x: Same): Same {
  const { value, slope }: Curve = CURVES[op];
  return fusedOp([x], () => {
    const result = kernels().create(x.shape);
    const xs = valuesOf(x);
    for (let i = 0; i < xs.length; i++) result.values[i] = value(xs[i]!);
    return {
      value: result.tensor,
      saved: [x, result.tensor],
      backward: (dy, saved) => {
        const dx = kernels().create(x.shape);
        const [gradient, kept, ys] = mapTuple([dy, ...saved], valuesOf);
        for (let i = 0; i < kept.length; i++) dx.values[i] = gradient[i]! * slope(kept[i]!, ys[i]!);
        return [dx.tensor];
      },
    };
  });
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

/** Computes sum_c w_c mean_t x_{t,c}, [T, C] -> []. */
export function weightedMean(xTC: tf.Tensor, weightsC: ArrayLike<number>): tf.Scalar {
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

/** Rows and columns of a tensor, and its elements between one and the next of either: 0 where it has one that is repeated. */
function rowsAndColumns({ shape }: tf.Tensor) {
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
