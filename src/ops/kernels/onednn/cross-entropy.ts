import { ifWanted } from '../../gradient-target.js';
import type { tf } from '../../tensorflow.js';
import type { FusedForward } from '../kernels.js';
import type { Context } from './context.js';
import type { Operand, Values } from './operand.js';
import { chunksOf, rowsOf, transposed } from './operand.js';

// Shapes: T tokens, d hidden size, V vocabulary.

/** Number of logits that are computed at a time, so that they stay in the caches. */
const LOGIT_ELEMENTS = 1 << 19;

/** Implements `Kernels.tiedCrossEntropy`; keeps softmax - one-hot, from which one product gives each gradient. */
export function tiedCrossEntropy(
  context: Context,
  xTD: tf.Tensor2D,
  embeddingVD: tf.Tensor2D,
  targetsT: Int32Array,
): FusedForward<[x: tf.Tensor, embedding: tf.Tensor, dLogits: tf.Tensor]> {
  const { primitives, memory, type } = context;
  const [numTokens] = xTD.shape;
  const [vocabSize] = embeddingVD.shape;
  const loss = memory.create([numTokens]);
  const dLogits = memory.create([numTokens, vocabSize], type);
  const x = context.keep(xTD);
  context.with(embeddingVD, (embedding) => {
    for (const place of chunksOf(numTokens, Math.max(1, Math.floor(LOGIT_ELEMENTS / vocabSize)))) {
      const compute = (logits: Operand) => {
        primitives.product(rowsOf(x.operand, place), transposed(embedding), logits);
        primitives.softmax(logits, logits);
        takeLosses(logits, rowsOf(memory.operandOf(xTD), place), memory.operandOf(embeddingVD), {
          targets: targetsT.subarray(place.begin, place.begin + place.count),
          losses: loss.values.subarray(place.begin),
        });
      };
      const kept = rowsOf(dLogits, place);
      if (type === 'float32') compute(kept);
      else
        memory.borrow([place.count, vocabSize], 'float32', (logits) => {
          compute(logits);
          primitives.copy(logits, kept);
        });
    }
  });
  return {
    value: loss.tensor,
    saved: [x.tensor, embeddingVD, dLogits.tensor],
    backward: (dyT, [keptX, keptEmbedding, keptDLogits]) => {
      const dx = memory.create(xTD.shape);
      const ofRows = { ...memory.operandOf(dyT), dims: [numTokens, 1] };
      const dLogitsTV = memory.operandOf(keptDLogits);
      context.with(keptEmbedding, (embedding) => primitives.product(dLogitsTV, embedding, dx));
      primitives.combine('multiply', dx, ofRows, dx);
      const dEmbedding = ifWanted(keptEmbedding, () => {
        const gradient = memory.create(embeddingVD.shape);
        memory.borrow(xTD.shape, type, (scaledX) => {
          primitives.combine('multiply', memory.operandOf(keptX), ofRows, scaledX);
          primitives.product(transposed(dLogitsTV), scaledX, gradient);
        });
        return gradient.tensor;
      });
      return [dx.tensor, dEmbedding];
    },
  };
}

/** A probability below this has lost precision, or is zero. */
const LEAST_PROBABILITY = 2 ** -100;

/** Computes the losses from the probabilities, then subtracts one from the probabilities of the targets. */
function takeLosses(
  probabilities: Operand,
  x: Operand,
  embedding: Operand,
  { targets, losses }: { targets: Int32Array; losses: Values },
): void {
  const { values } = probabilities;
  const vocabSize = probabilities.dims[1]!;
  for (let row = 0; row < targets.length; row++) {
    const at = row * vocabSize + targets[row]!;
    const probability = values[at]!;
    losses[row] =
      probability > LEAST_PROBABILITY
        ? -Math.log(probability)
        : lossOfUnlikely(
            values.subarray(row * vocabSize, (row + 1) * vocabSize),
            x,
            embedding,
            row,
            targets[row]!,
          );
    values[at] = probability - 1;
  }
}

/** Computes the loss from the logits of the target and of the most probable token. */
function lossOfUnlikely(
  probabilitiesV: Values,
  x: Operand,
  embedding: Operand,
  row: number,
  target: number,
): number {
  const d = x.dims[1]!;
  let likeliest = 0;
  for (let id = 1; id < probabilitiesV.length; id++)
    if (probabilitiesV[id]! > probabilitiesV[likeliest]!) likeliest = id;
  const logitOf = (id: number) => {
    let sum = 0;
    for (let i = 0; i < d; i++) sum += x.values[row * d + i]! * embedding.values[id * d + i]!;
    return sum;
  };
  return logitOf(likeliest) - Math.log(probabilitiesV[likeliest]!) - logitOf(target);
}
