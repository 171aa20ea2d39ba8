// Shapes: T rows, d hidden size.

/** Added to the variance. */
export const LAYER_NORM_EPSILON = 1e-5;

/**
 * `layerNorm` on the host, for a few rows, where calls of TensorFlow would take longer.
 *
 * @param xTD row-major [T, d]
 * @returns row-major [T, d]
 */
export function layerNormOnHost(xTD: Float32Array, gainD: Float32Array, biasD: Float32Array): Float32Array {
  const d = gainD.length;
  const yTD = new Float32Array(xTD.length);
  for (let row = 0; row < xTD.length; row += d) {
    let sum = 0;
    for (let i = 0; i < d; i++) sum += xTD[row + i]!;
    const mean = sum / d;
    let squares = 0;
    for (let i = 0; i < d; i++) squares += (xTD[row + i]! - mean) ** 2;
    const inverseStd = 1 / Math.sqrt(squares / d + LAYER_NORM_EPSILON);
    for (let i = 0; i < d; i++) yTD[row + i] = (xTD[row + i]! - mean) * inverseStd * gainD[i]! + biasD[i]!;
  }
  return yTD;
}
