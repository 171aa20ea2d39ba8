import { tf } from '../../tensorflow.js';
import { rawOp } from './raw-op.js';

/**
 * Runs MatMul with optional transposes. `tf.matMul` calls BatchMatMul with two reshapes, which gives the same bits and
 * takes 10 % longer.
 */
export function product(a: tf.Tensor, b: tf.Tensor, transposeA = false, transposeB = false): tf.Tensor2D {
  return rawOp('MatMul', [a, b], { transpose_a: transposeA, transpose_b: transposeB }) as tf.Tensor2D;
}

/** TensorFlow uses another kernel, with other bits, for fewer rows. */
const FEWEST_ROWS = 3;

/**
 * Computes `product` such that the bits of a row do not depend on the number of rows: [T, a] x [a, b] -> [T, b], or
 * with the second matrix transposed.
 */
export function rowsProduct(xTA: tf.Tensor, wAB: tf.Tensor, transposed = false): tf.Tensor2D {
  const numRows = xTA.shape[0];
  if (numRows >= FEWEST_ROWS) return transposed ? transposedProduct(xTA, wAB) : product(xTA, wAB);
  const padded = tf.pad(xTA, [
    [0, FEWEST_ROWS - numRows],
    [0, 0],
  ]);
  return tf.slice(product(padded, wAB, false, transposed), 0, numRows);
}

/**
 * Computes `rowsProduct` with rows on the host: row-major [T, a] x [a, b] -> [T, b].
 *
 * @param numRows T
 */
export function hostRowsProduct(xTA: Float32Array, numRows: number, wAB: tf.Tensor): Float32Array {
  const width = xTA.length / numRows;
  const rows = Math.max(numRows, FEWEST_ROWS);
  const padded = new Float32Array(rows * width);
  padded.set(xTA);
  const x = tf.tensor2d(padded, [rows, width]);
  const y = product(x, wAB);
  const yTB = y.dataSync<'float32'>().slice(0, numRows * y.shape[1]);
  x.dispose();
  y.dispose();
  return yTB;
}

/**
 * Computes a^T b for a wide a and a narrow b, as in the gradient of a narrowing projection or a tied embedding: [T, F]
 * x [T, d] -> [F, d]. For many rows TensorFlow is faster with (b^T a)^T; the bits are the same.
 */
export function narrowingGradient(wideTF: tf.Tensor, narrowTD: tf.Tensor): tf.Tensor {
  const [numRows, width] = narrowTD.shape;
  return numRows <= 2 * width!
    ? product(wideTF, narrowTD, true)
    : tf.transpose(product(narrowTD, wideTF, true));
}

/**
 * Computes x W^T: [T, a] x [b, a] -> [T, b]. TensorFlow packs a transposed operand element by element, once for each
 * block of rows; with many rows it is faster to transpose a large, tall W first. Same bits.
 */
export function transposedProduct(xTA: tf.Tensor, wBA: tf.Tensor): tf.Tensor2D {
  const [b, a] = wBA.shape as [number, number];
  return xTA.shape[0] >= MANY_ROWS && b >= 2 * a && a * b >= LARGE
    ? product(xTA, transposedMatrix(wBA))
    : product(xTA, wBA, false, true);
}

const MANY_ROWS = 512;
/** Elements of a matrix that exceeds the caches. */
const LARGE = 1 << 20;
const BLOCK = 32;

/** Computes W^T: [b, a] -> [a, b]. A large matrix is transposed in two steps, each of which fits the caches. */
export function transposedMatrix(wBA: tf.Tensor): tf.Tensor2D {
  const [b, a] = wBA.shape as [number, number];
  if (a * b < LARGE || b % BLOCK !== 0) return tf.transpose(wBA as tf.Tensor2D);
  const blocks = tf.transpose(tf.reshape(wBA, [b / BLOCK, BLOCK, a]), [0, 2, 1]);
  return tf.reshape(tf.transpose(blocks, [1, 0, 2]), [a, b]);
}
