import { rowNorms } from '../../ops/operations.js';
import type { tf } from '../../ops/tensorflow.js';

// Shapes: T tokens of this rank, d hidden size, E experts.

/** Keeps the cosine of a zero vector finite; far less than the norm of a normalised activation. */
export const LEAST_NORM = 1e-12;

/**
 * Divides products of tokens and gate vectors by the norms of both, without a gradient: row-major [T, E].
 *
 * @param productsTE [T, E]
 * @param xTD tokens, [T, d]
 * @param gateNormsE norms of the gate vectors, length E
 */
export function cosinesOfProducts(
  productsTE: tf.Tensor2D,
  xTD: tf.Tensor2D,
  gateNormsE: ArrayLike<number>,
): Float32Array {
  const normsT = rowNorms(xTD);
  const numExperts = gateNormsE.length;
  return productsTE
    .dataSync<'float32'>()
    .map(
      (product, i) =>
        product / Math.max(LEAST_NORM, normsT[Math.floor(i / numExperts)]! * gateNormsE[i % numExperts]!),
    );
}

/** Returns the norm of each column of a matrix, [d, E] -> length E. */
export function columnNorms(weightDE: tf.Tensor2D): Float64Array {
  const squares = new Float64Array(weightDE.shape[1]);
  weightDE.dataSync<'float32'>().forEach((weight, i) => {
    squares[i % squares.length]! += weight ** 2;
  });
  return squares.map(Math.sqrt);
}
