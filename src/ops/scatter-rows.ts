import { fusedOp } from './fused-op.js';
import { tf } from './tensorflow.js';

// Shapes: T tokens, K choices of a token, N chosen rows, d hidden size.

export interface RowScatter {
  readonly numTokens: number;
  /** The token that each row goes to, length N. */
  readonly tokensN: Int32Array;
  /** The element of the flattened [T, K] weights that scales each row, length N. */
  readonly choicesN: Int32Array;
}

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
  return fusedOp(inputs, () => {
    const tokens = tf.tensor1d(tokensN, 'int32');
    if (!weightsTK)
      return {
        value: tf.unsortedSegmentSum(rowsND, tokens, numTokens),
        saved: [tokens],
        backward: (dyTD, [kept]) => [tf.gather(dyTD, kept as tf.Tensor1D)],
      };
    const choices = tf.tensor1d(choicesN, 'int32');
    const weightsN1 = tf.reshape(tf.gather(tf.reshape(weightsTK, [-1]), choices), [-1, 1]);
    return {
      value: tf.unsortedSegmentSum(tf.mul(rowsND, weightsN1), tokens, numTokens),
      saved: [rowsND, weightsN1, tokens, choices],
      backward: (dyTD, saved) => weightedBackward(dyTD, saved, weightsTK.shape),
    };
  });
}

function weightedBackward(
  dyTD: tf.Tensor,
  saved: readonly tf.Tensor[],
  [numTokens, numChoices]: [number, number],
): tf.Tensor[] {
  const [rowsND, weightsN1, tokens, choices] = saved;
  const dyND = tf.gather(dyTD, tokens as tf.Tensor1D);
  const dWeightsN = tf.sum(tf.mul(dyND, rowsND), 1);
  const dWeights = tf.unsortedSegmentSum(dWeightsN, choices as tf.Tensor1D, numTokens * numChoices);
  return [tf.mul(dyND, weightsN1), tf.reshape(dWeights, [numTokens, numChoices])];
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
