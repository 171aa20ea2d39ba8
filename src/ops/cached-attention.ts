// Shapes: C positions that a cache has room for, d hidden size, H heads, h = d / H size of a head.

/** Keys and values of one layer for the positions of one sequence, row-major [C, d]. */
export interface KeyValueCache {
  readonly keys: Float32Array;
  readonly values: Float32Array;
}

/**
 * `causalAttention` of the last of `numPositions` positions over a cache that holds all of them, on the host:
 * for one row, where calls of TensorFlow would take longer.
 *
 * @param queryD length d
 * @param yD gets the weighted sum of the values, length d
 */
export function cachedAttention(
  queryD: Float32Array,
  { keys, values }: KeyValueCache,
  numPositions: number,
  numHeads: number,
  yD: Float32Array,
): void {
  const d = queryD.length;
  const size = d / numHeads;
  const scale = 1 / Math.sqrt(size);
  const weights = new Float32Array(numPositions);
  for (let begin = 0; begin < d; begin += size) {
    let max = -Infinity;
    for (let position = 0; position < numPositions; position++) {
      const row = position * d + begin;
      let product = 0;
      for (let i = 0; i < size; i++) product += queryD[begin + i]! * keys[row + i]!;
      const score = product * scale;
      weights[position] = score;
      if (score > max) max = score;
    }
    let sum = 0;
    for (let position = 0; position < numPositions; position++) {
      weights[position] = Math.exp(weights[position]! - max);
      sum += weights[position]!;
    }
    yD.fill(0, begin, begin + size);
    for (let position = 0; position < numPositions; position++) {
      const weight = weights[position]! / sum;
      const row = position * d + begin;
      for (let i = 0; i < size; i++) yD[begin + i]! += weight * values[row + i]!;
    }
  }
}
