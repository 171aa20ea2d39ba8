import { fusedOp } from './fused-op.js';
import { kernels } from './kernels/choose-kernels.js';
import type { RowScatter } from './kernels/kernels.js';
import { tf } from './tensorflow.js';

export type { RowScatter };

// Shapes: T tokens, K choices of a token, N chosen rows, d hidden size.

/**
 * Weighted sum of expert outputs in token order: y_t = sum over the rows of token t of weight * row (LocMoE
 * eq. 1). A token without rows gets zero.
 *
 * @param rowsND [N, d]
 * @param weightsTK [T, K]; null for weights of 1
 * @returns [T, d]
 */
export function scatterRows(
  rowsND: tf.Tensor2D,
  weightsTK: tf.Tensor2D | null,
  { numTokens, tokensN, choicesN }: RowScatter,
): tf.Tensor2D {
  const width = rowsND.shape[1];
  const inputs = weightsTK ? [rowsND, weightsTK] : [rowsND];
  if (tokensN.length === 0) return scatterNothing(inputs, numTokens, width);
  return fusedOp(inputs, () => kernels().scatterRows(rowsND, weightsTK, { numTokens, tokensN, choicesN }));
}

/**
 * TensorFlow refuses empty indices; inputs stay connected so that the backward all-to-all runs on every rank.
 */
function scatterNothing(inputs: readonly tf.Tensor[], numTokens: number, width: number): tf.Tensor2D {
  return fusedOp(inputs, () => ({
    value: tf.zeros([numTokens, width]),
    saved: [],
    backward: () => inputs.map((input) => tf.zeros(input.shape)),
  }));
}
