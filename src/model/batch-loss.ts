import { type Batch, countedTargets, type PackedTokens } from '../data/batch.js';
import { weightedMean } from '../ops/elementwise.js';
import { gatherRows, tiedCrossEntropy } from '../ops/operations.js';
import { tf } from '../ops/tensorflow.js';

// Shapes: B sequences, T tokens, N tokens whose loss is computed, d hidden size, V vocabulary.

/** Tensors live in the caller's tidy. */
export interface BatchLoss {
  /** Mean cross-entropy over the tokens that count, in nats; see `LossOptions.meanOver`. */
  readonly crossEntropy: tf.Scalar;
  /** Mean cross-entropy of each sequence over its tokens that count, length B. */
  readonly sequenceLosses: Float64Array;
}

/** With packed samples, N is a multiple of T / SHAPES, so that kernels are compiled for few shapes. */
const SHAPES = 8;

/**
 * @param hiddenTD hidden state after the final norm
 * @param embeddingVD embedding, tied to the softmax
 * @param meanOver as `LossOptions.meanOver`
 */
export function batchLoss(
  hiddenTD: tf.Tensor2D,
  embeddingVD: tf.Tensor2D,
  batch: Batch,
  meanOver: number | undefined,
): BatchLoss {
  const { targets, packed } = batch;
  if (packed === undefined) {
    const lossT = tiedCrossEntropy(hiddenTD, embeddingVD, targets);
    return {
      crossEntropy: weightedMean(lossT, [1]),
      sequenceLosses: sequenceMeans(lossT.dataSync<'float32'>(), targets.keys(), batch),
    };
  }
  const { rowsN, numCounted } = countedRows(packed);
  const lossN = tiedCrossEntropy(
    gatherRows(hiddenTD, rowsN),
    embeddingVD,
    rowsN.map((row) => targets[row]!),
  );
  const counted = tf.sum(tf.slice(lossN, 0, numCounted)) as tf.Scalar;
  return {
    crossEntropy: tf.div(counted, meanOver ?? numCounted),
    sequenceLosses: sequenceMeans(lossN.dataSync<'float32'>(), rowsN.subarray(0, numCounted), batch),
  };
}

/** Returns the rows that count, followed by other rows up to length N. */
function countedRows({ counted }: PackedTokens): { readonly rowsN: Int32Array; readonly numCounted: number } {
  const rows = Int32Array.from(counted.keys()).filter((row) => counted[row] === 1);
  const multiple = Math.ceil(counted.length / SHAPES);
  const rowsN = new Int32Array(Math.ceil(Math.max(1, rows.length) / multiple) * multiple);
  rowsN.set(rows);
  return { rowsN, numCounted: rows.length };
}

/** @param rows row of the batch that each loss is of */
function sequenceMeans(losses: Float32Array, rows: Iterable<number>, batch: Batch): Float64Array {
  const counts = countedTargets(batch);
  const sums = new Float64Array(counts.length);
  let i = 0;
  for (const row of rows) sums[Math.floor(row / batch.seqLen)]! += losses[i++]!;
  return sums.map((sum, sequence) => sum / counts[sequence]!);
}
