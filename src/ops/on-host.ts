import { CUBIC, SLOPE } from './kernels/tensorflow/gelu.js';

// Operations on the host, for so few rows that calls of TensorFlow would take longer. Shapes: T rows, C positions for
// which a cache has room, d hidden size, H heads of queries, K of keys and values, h = d / H size of a head.

/** Computes `gelu` in place. */
export function geluOnHost(values: Float32Array): void {
  for (let i = 0; i < values.length; i++) {
    const x = values[i]!;
    values[i] = x / (1 + Math.exp(-x * (SLOPE + CUBIC * x * x)));
  }
}

/** Multiplies each value by the SiLU of the gate at the same index, in place. */
export function swigluOnHost(gates: Float32Array, values: Float32Array): void {
  for (let i = 0; i < values.length; i++) values[i]! *= gates[i]! / (1 + Math.exp(-gates[i]!));
}

/** Added to the variance. */
export const LAYER_NORM_EPSILON = 1e-5;

/** Computes `layerNorm`, row-major: [T, d] -> [T, d]. */
export function layerNormOnHost(
  xTD: Float32Array,
  gainD: Float32Array,
  biasD: Float32Array,
  epsilon: number,
): Float32Array {
  const d = gainD.length;
  const yTD = new Float32Array(xTD.length);
  for (let row = 0; row < xTD.length; row += d) {
    let sum = 0;
    for (let i = 0; i < d; i++) sum += xTD[row + i]!;
    const mean = sum / d;
    let squares = 0;
    for (let i = 0; i < d; i++) squares += (xTD[row + i]! - mean) ** 2;
    const inverseStd = 1 / Math.sqrt(squares / d + epsilon);
    for (let i = 0; i < d; i++) yTD[row + i] = (xTD[row + i]! - mean) * inverseStd * gainD[i]! + biasD[i]!;
  }
  return yTD;
}

/**
 * Computes `rmsNorm` on rows on the host, row-major: [T, d] -> [T, d].
 *
 * @param yTD output
 * @param inverseT output: the inverse root mean square of each row, length T
 */
export function rmsNormOnHost(
  xTD: Float32Array,
  gainD: Float32Array,
  epsilon: number,
  yTD: Float32Array = new Float32Array(xTD.length),
  inverseT?: Float64Array,
): Float32Array {
  const d = gainD.length;
  for (let begin = 0; begin < xTD.length; begin += d) {
    let squares = 0;
    for (let i = 0; i < d; i++) squares += xTD[begin + i]! * xTD[begin + i]!;
    const inverse = 1 / Math.sqrt(squares / d + epsilon);
    if (inverseT !== undefined) inverseT[begin / d] = inverse;
    for (let i = 0; i < d; i++) yTD[begin + i] = xTD[begin + i]! * inverse * gainD[i]!;
  }
  return yTD;
}

/** Adds a bias to each row on the host, in place: [T, d]. */
export function addBiasOnHost(xTD: Float32Array, biasD: Float32Array): void {
  for (let begin = 0; begin < xTD.length; begin += biasD.length)
    for (let i = 0; i < biasD.length; i++) xTD[begin + i]! += biasD[i]!;
}

/**
 * Keys and values of one layer for the positions of one sequence, row-major [C, K h]; C is a multiple of
 * `BLOCK_OF_CACHE`. Rows of future positions contain arbitrary finite numbers.
 */
export interface KeyValueCache {
  readonly keys: Float32Array;
  readonly values: Float32Array;
}

/** Positions that are computed at a time, as their sums are independent of each other. */
export const BLOCK_OF_CACHE = 4;

/**
 * Computes `causalAttention` of the last of `numPositions` positions over a cache that holds all of them.
 *
 * @param queryD length d
 * @param yD gets the weighted sum of the values, length d
 */
export function cachedAttention(
  queryD: Float32Array,
  { keys, values }: KeyValueCache,
  numPositions: number,
  { numHeads, numKeyValueHeads }: { readonly numHeads: number; readonly numKeyValueHeads: number },
  yD: Float32Array,
): void {
  const size = queryD.length / numHeads;
  const width = numKeyValueHeads * size;
  const scale = 1 / Math.sqrt(size);
  const weights = new Float32Array(Math.ceil(numPositions / BLOCK_OF_CACHE) * BLOCK_OF_CACHE);
  for (let head = 0; head < numHeads; head++) {
    const begin = head * size;
    const shared = Math.floor((head * numKeyValueHeads) / numHeads) * size;
    for (let position = 0; position < numPositions; position += BLOCK_OF_CACHE) {
      const first = position * width + shared;
      const [second, third, fourth] = [first + width, first + 2 * width, first + 3 * width];
      let [a, b, c, d] = [0, 0, 0, 0];
      for (let i = 0; i < size; i++) {
        const query = queryD[begin + i]!;
        a += query * keys[first + i]!;
        b += query * keys[second + i]!;
        c += query * keys[third + i]!;
        d += query * keys[fourth + i]!;
      }
      weights[position] = a * scale;
      weights[position + 1] = b * scale;
      weights[position + 2] = c * scale;
      weights[position + 3] = d * scale;
    }
    softmaxOnHost(weights, numPositions);
    yD.fill(0, begin, begin + size);
    for (let position = 0; position < numPositions; position += BLOCK_OF_CACHE) {
      const first = position * width + shared;
      const [second, third, fourth] = [first + width, first + 2 * width, first + 3 * width];
      const a = weights[position]!;
      const b = weights[position + 1]!;
      const c = weights[position + 2]!;
      const d = weights[position + 3]!;
      for (let i = 0; i < size; i++)
        yD[begin + i]! +=
          a * values[first + i]! + b * values[second + i]! + c * values[third + i]! + d * values[fourth + i]!;
    }
  }
}

/** Replaces the first `length` numbers by their softmax, the others by 0. */
function softmaxOnHost(numbers: Float32Array, length: number): void {
  let max = -Infinity;
  for (let i = 0; i < length; i++) max = Math.max(max, numbers[i]!);
  let sum = 0;
  for (let i = 0; i < length; i++) {
    numbers[i] = Math.exp(numbers[i]! - max);
    sum += numbers[i]!;
  }
  for (let i = 0; i < length; i++) numbers[i]! /= sum;
  numbers.fill(0, length);
}
