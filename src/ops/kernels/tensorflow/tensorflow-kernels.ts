import { narrow, widen } from '../../bfloat16.js';
import { ifWanted } from '../../gradient-target.js';
import { tf } from '../../tensorflow.js';
import {
  type AttentionShape,
  type FeedForwardNetwork,
  type FeedForwardPiece,
  type FeedForwardRows,
  type FeedForwardWeights,
  type FusedForward,
  type Kernels,
  partsOf,
  type RowScatter,
} from '../kernels.js';
import { loops, withSmallSums } from '../loops.js';
import { activation, activationBackward } from './activations.js';
import { attentionParts, segmentsOf } from './attention.js';
import { fixedShapes, type RunPart, uncompiled } from './compiled.js';
import { crossEntropyBackward, crossEntropyForward } from './cross-entropy.js';
import { layerNormBackward, layerNormForward } from './layer-norm.js';
import {
  hostRowsProduct,
  narrowingGradient,
  product,
  rowsProduct,
  transposedMatrix,
  transposedProduct,
} from './products.js';

export const create: Kernels['create'] = (shape) => {
  const values = new Float32Array(shape.reduce((product, length) => product * length, 1));
  return { tensor: tf.tensor(values, [...shape]), values };
};

/** Products are TensorFlow's; the operations between them are compiled by its XLA if shapes recur. */
export const tensorflowKernels: Kernels = {
  name: 'tensorflow',
  description: 'TensorFlow, float32',
  create,
  ...loops(create),
  matMul: (xTA, wAB) => ({
    value: product(xTA, wAB),
    saved: [xTA, wAB],
    backward: (dyTB, [x, w]) => [transposedProduct(dyTB, w!), ifWanted(w!, () => product(x!, dyTB, true))],
  }),
  network: (rows) => new TensorflowNetwork(rows),
  layerNorm(xTD, gainD, biasD) {
    const run = fixedShapes();
    const [yTD, meanT1, inverseStdT1] = run('layer norm', [xTD, gainD, biasD], layerNormForward);
    return {
      value: yTD!,
      // The normalised input is not saved: it is as large as x, which is kept anyway.
      saved: [xTD, meanT1!, inverseStdT1!, gainD],
      backward: (dyTD, saved) => run('gradient of layer norm', [dyTD, ...saved], layerNormBackward),
    };
  },
  causalAttention(qkvTC, shape: AttentionShape): FusedForward {
    const run = fixedShapes();
    const parts = attentionParts(shape);
    const segments = segmentsOf(shape);
    const [yTD, logSumGS1] = run('attention', [qkvTC, ...segments], parts.forward);
    return {
      value: yTD!,
      saved: [qkvTC, yTD!, logSumGS1!, ...segments],
      backward: (dyTD, saved) => run('gradient of attention', [dyTD, ...saved], parts.backward),
    };
  },
  tiedCrossEntropy(xTD, embeddingVD, targetsT) {
    const logitsTV = transposedProduct(xTD, embeddingVD);
    const targets = tf.tensor1d(targetsT, 'int32');
    const ofTargetsTD = tf.gather(embeddingVD, targets);
    const [lossT, expTV, sumT1] = fixedShapes()(
      'cross-entropy',
      [logitsTV, xTD, ofTargetsTD],
      crossEntropyForward,
    );
    return {
      value: lossT!,
      saved: [xTD, embeddingVD, expTV!, sumT1!, targets],
      backward: crossEntropyBackward,
    };
  },
  embedding(tokensVD, positionsPD, tokenIdsT, seqLen, positionsT) {
    const dModel = tokensVD.shape[1];
    const ids = tf.tensor1d(tokenIdsT, 'int32');
    const sumOfRows = (matrix: tf.Tensor2D, dyTD: tf.Tensor, indices: tf.Tensor) =>
      ifWanted(matrix, () => tf.unsortedSegmentSum(dyTD, indices as tf.Tensor1D, matrix.shape[0]));
    if (positionsT !== undefined) {
      const positions = tf.tensor1d(positionsT, 'int32');
      return {
        value: tf.add(tf.gather(tokensVD, ids), tf.gather(positionsPD, positions)),
        saved: [ids, positions],
        backward: (dyTD, saved) =>
          [tokensVD, positionsPD].map((matrix, i) => sumOfRows(matrix, dyTD, saved[i]!)),
      };
    }
    const rowsBC = tf.reshape(tf.gather(tokensVD, ids), [-1, seqLen * dModel]);
    const positionsC = tf.reshape(tf.slice(positionsPD, 0, seqLen), [-1]);
    return {
      value: tf.reshape(tf.add(rowsBC, positionsC), [-1, dModel]),
      saved: [ids],
      backward: (dyTD, [savedIds]) => [
        sumOfRows(tokensVD, dyTD, savedIds!),
        ifWanted(positionsPD, () => positionGradient(dyTD, seqLen, positionsPD.shape)),
      ],
    };
  },
  add: withSmallSums(create, (x, y) => tf.add(x, y)),
  gatherRows(xTD, indicesN) {
    const indices = tf.tensor1d(indicesN, 'int32');
    return {
      value: tf.gather(xTD, indices),
      saved: [indices],
      backward: (dyND, [kept]) => [tf.unsortedSegmentSum(dyND, kept as tf.Tensor1D, xTD.shape[0])],
    };
  },
  scatterRows(rowsND, weightsTK, { numTokens, tokensN, choicesN }: RowScatter): FusedForward {
    const tokens = tf.tensor1d(tokensN, 'int32');
    if (weightsTK === null)
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
  },
  sliceRows: (xTD, begin, count) => tf.slice(xTD, begin, count),
  concatRows: (parts) => join(parts),
  narrow: (from, to) => void narrow(from, to),
  widen: (from, to) => void widen(from, to),
  hostRowsProduct,
};

class TensorflowNetwork implements FeedForwardNetwork {
  readonly #run: RunPart;
  /** Transposes of matrices by which several pieces are multiplied. */
  readonly #transposes = new Map<tf.Tensor, tf.Tensor>();

  constructor(private readonly rows: FeedForwardRows) {
    this.#run = rows === 'fixed' ? fixedShapes() : uncompiled;
  }

  forward(xTD: tf.Tensor2D, weights: FeedForwardWeights) {
    const { wIns, wOut } = partsOf(weights);
    const before = wIns.map((wIn) => rowsProduct(xTD, wIn));
    const [hiddenTF] = this.#run('activation', before, activation);
    return { y: rowsProduct(hiddenTF!, wOut), saved: [xTD, ...before] };
  }

  backward(dyTD: tf.Tensor2D, weights: FeedForwardWeights, [, ...before]: readonly tf.Tensor[]) {
    const { wIns, wOut } = partsOf(weights);
    const dHiddenTF = this.#timesTransposed(dyTD, wOut);
    const kept = this.#run('gradient of activation', [dHiddenTF, ...before], activationBackward);
    const [dx, ...rest] = wIns.map((wIn, i) => this.#timesTransposed(kept[i]!, wIn));
    return { dx: rest.reduce((sum, each) => tf.add(sum, each), dx!), kept };
  }

  gradients(pieces: readonly FeedForwardPiece[], weights: FeedForwardWeights): (tf.Tensor | undefined)[] {
    const { wIns, wOut } = partsOf(weights);
    const all = (of: (piece: FeedForwardPiece) => tf.Tensor) => join(pieces.map(of));
    return [
      ...wIns.map((wIn, i) =>
        ifWanted(wIn, () =>
          product(
            all(({ saved }) => saved[0]!),
            all(({ kept }) => kept[i]!),
            true,
          ),
        ),
      ),
      ifWanted(wOut, () =>
        narrowingGradient(
          all(({ kept }) => kept.at(-1)!),
          all(({ dyTD }) => dyTD),
        ),
      ),
    ];
  }

  /**
   * Multiplies by a transpose that is computed once: TensorFlow would repack a transposed operand for each piece, which
   * takes longer than the product with its few rows. The bits are the same.
   */
  #timesTransposed(xTA: tf.Tensor, wBA: tf.Tensor): tf.Tensor2D {
    if (this.rows !== 'in pieces') return rowsProduct(xTA, wBA, true);
    const wAB = this.#transposes.get(wBA) ?? transposedMatrix(wBA);
    this.#transposes.set(wBA, wAB);
    return rowsProduct(xTA, wAB);
  }
}

function join<T extends tf.Tensor>(parts: readonly T[]): T {
  return parts.length === 1 ? parts[0]! : (tf.concat([...parts], 0) as T);
}

function positionGradient(dyTD: tf.Tensor, seqLen: number, [longest, dModel]: [number, number]): tf.Tensor {
  const sumC = tf.sum(tf.reshape(dyTD, [-1, seqLen * dModel]), 0);
  return tf.pad(tf.reshape(sumC, [seqLen, dModel]), [
    [0, longest - seqLen],
    [0, 0],
  ]);
}

function weightedBackward(
  dyTD: tf.Tensor,
  saved: readonly tf.Tensor[],
  [numTokens, numChoices]: [number, number],
): tf.Tensor[] {
  const [rowsND, weightsN1, tokens, choices] = saved as [tf.Tensor, tf.Tensor, tf.Tensor1D, tf.Tensor1D];
  const dyND = tf.gather(dyTD, tokens);
  const dWeightsN = tf.sum(tf.mul(dyND, rowsND), 1);
  const dWeights = tf.unsortedSegmentSum(dWeightsN, choices, numTokens * numChoices);
  return [tf.mul(dyND, weightsN1), tf.reshape(dWeights, [numTokens, numChoices])];
}
