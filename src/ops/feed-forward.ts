import { fusedOp } from './autograd.js';
import { kernels } from './kernels/choose-kernels.js';
import type { FeedForwardRows, FeedForwardWeights } from './kernels/kernels.js';
import { tf } from './tensorflow.js';

// Shapes: T rows, d hidden size.

/**
 * Computes the network of `FeedForwardWeights`, without biases, so that a dense network can be copied into experts.
 *
 * @param xTD [T, d], with the same T at every step
 * @returns [T, d]
 */
export function feedForward(xTD: tf.Tensor2D, weights: FeedForwardWeights): tf.Tensor2D {
  return feedForwards(xTD, [weights], [xTD.shape[0]], 'fixed');
}

/**
 * Computes `feedForward` for several networks, each on its own consecutive rows, whose number varies from step to step.
 *
 * @param xTD [T, d]
 * @param weights weights of each network
 * @param numRows number of rows of each network, at least one; they add up to T
 * @returns [T, d]
 */
export function feedForwards(
  xTD: tf.Tensor2D,
  weights: readonly FeedForwardWeights[],
  numRows: readonly number[],
  rows: FeedForwardRows = 'varying',
): tf.Tensor2D {
  const matrices = weights.flat();
  return fusedOp([xTD, ...matrices], () => {
    const { sliceRows, concatRows, network } = kernels();
    const networks = weights.map(() => network(rows));
    const partsOf = (all: tf.Tensor2D) => {
      let begin = 0;
      return numRows.map((count) => {
        begin += count;
        return numRows.length === 1 ? all : sliceRows(all, begin - count, count);
      });
    };
    const join = (parts: readonly tf.Tensor2D[]) => (parts.length === 1 ? parts[0]! : concatRows(parts));
    const done = partsOf(xTD).map((part, i) => networks[i]!.forward(part, weights[i]!));
    return {
      value: join(done.map(({ y }) => y)),
      saved: [...matrices, ...done.flatMap(({ saved }) => saved)],
      backward(dyTD, allSaved) {
        const kept = splitAs(weights, allSaved) as FeedForwardWeights[];
        const savedOf = splitAs(
          done.map(({ saved }) => saved),
          allSaved.slice(matrices.length),
        );
        const gradients = partsOf(dyTD as tf.Tensor2D).map((dy, i) =>
          tf.tidy(() => {
            const saved = savedOf[i]!;
            const { dx, kept: forGradients } = networks[i]!.backward(dy, kept[i]!, saved);
            return [dx, ...networks[i]!.gradients([{ dyTD: dy, saved, kept: forGradients }], kept[i]!)];
          }),
        );
        return [
          join(gradients.map(([dx]) => dx as tf.Tensor2D)),
          ...gradients.flatMap(([, ...ofMatrices]) => ofMatrices),
        ];
      },
    };
  });
}

/** Splits concatenated saved tensors into lists as long as the given ones. */
export function splitAs(
  lists: readonly (readonly tf.Tensor[])[],
  allSaved: readonly tf.Tensor[],
): (readonly tf.Tensor[])[] {
  let begin = 0;
  return lists.map(({ length }) => {
    begin += length;
    return allSaved.slice(begin - length, begin);
  });
}
