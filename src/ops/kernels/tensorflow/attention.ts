import { mapTuple } from '../../../map-tuple.js';
import { tf } from '../../tensorflow.js';
import { type AttentionShape, keyValueHeadsOf } from '../kernels.js';
import { type Block, halves } from './attention-blocks.js';
import type { Compute } from './compiled.js';

// Shapes: B sequences, S positions, T = B S tokens, H heads, h = d / H size of a head, G = B H head-sequences, Q
// queries of a block or those that see its keys, K keys of a block or those that its queries see.

/** The forward and the backward of `Kernels.causalAttention`: y and the log-sum-exp of each row of scores. */
interface AttentionParts {
  readonly forward: Compute;
  readonly backward: Compute;
}

type ForwardInputs = [qkvTC: tf.Tensor, segmentsGS1?: tf.Tensor];
type BackwardInputs = [
  dyTD: tf.Tensor,
  qkvTC: tf.Tensor,
  yTD: tf.Tensor,
  logSumGS1: tf.Tensor,
  segmentsGS1?: tf.Tensor,
];

/** One function object per shape: `compiled` identifies functions by identity. */
const partsOfShape = new Map<string, AttentionParts>();

export function attentionParts(shape: AttentionShape): AttentionParts {
  const { numSequences, seqLen, numHeads } = shape;
  const numKeyValueHeads = keyValueHeadsOf(shape);
  const key = `${numSequences} ${seqLen} ${numHeads} ${numKeyValueHeads}`;
  let parts = partsOfShape.get(key);
  if (!parts) {
    const sizes = { numSequences, seqLen, numHeads, numKeyValueHeads };
    parts = {
      forward: (...tensors) => forward(tensors as ForwardInputs, sizes),
      backward: (...tensors) => [backward(tensors as BackwardInputs, sizes)],
    };
    partsOfShape.set(key, parts);
  }
  return parts;
}

/** Returns the segment number of each position, [G, S, 1]; empty if every sequence is a single segment. */
export function segmentsOf({ numSequences, seqLen, numHeads, positionsT }: AttentionShape): tf.Tensor[] {
  if (positionsT === undefined) return [];
  const segmentsGS = new Float32Array(numSequences * numHeads * seqLen);
  for (let sequence = 0; sequence < numSequences; sequence++) {
    const begin = sequence * numHeads * seqLen;
    let segment = 0;
    for (let position = 0; position < seqLen; position++) {
      if (positionsT[sequence * seqLen + position] === 0) segment++;
      segmentsGS[begin + position] = segment;
    }
    for (let head = 1; head < numHeads; head++)
      segmentsGS.copyWithin(begin + head * seqLen, begin, begin + seqLen);
  }
  return [tf.tensor3d(segmentsGS, [numSequences * numHeads, seqLen, 1])];
}

function forward([qkvTC, segmentsGS1]: ForwardInputs, shape: AttentionShape): tf.Tensor[] {
  const [q, k, v] = mapTuple(queriesKeysValues(qkvTC, shape), (x) => heads(x, shape));
  const kSwapped = swap(k);
  const ys: tf.Tensor[] = [];
  const logSums: tf.Tensor[] = [];
  for (const queries of halves(shape.seqLen)) {
    const keys = { begin: 0, end: queries.end };
    const productsGQK = tf.matMul(rows(q, queries), columns(kSwapped, keys));
    const causalGQK = scores(productsGQK, q, mask(queries, keys));
    const scoresGQK = betweenSegments(causalGQK, segmentsGS1, queries, keys);
    const maxGQ1 = tf.max(scoresGQK, -1, true);
    const expGQK = tf.exp(tf.sub(scoresGQK, maxGQ1));
    const sumGQ1 = tf.sum(expGQK, -1, true);
    ys.push(tf.div(tf.matMul(expGQK, rows(v, keys)), sumGQ1));
    logSums.push(tf.add(maxGQ1, tf.log(sumGQ1)));
  }
  return [joinHeads([concat(ys, 1)], shape), concat(logSums, 1)];
}

/**
 * Computes by blocks of keys, with scores transposed (a row for each key): the gradients of keys and values come out in
 * their layout, and no product transposes an operand, which is slow in TensorFlow.
 */
function backward(
  [dyTD, qkvTC, yTD, logSumGS1, segmentsGS1]: BackwardInputs,
  shape: AttentionShape,
): tf.Tensor {
  const { seqLen } = shape;
  const [q, k, v, y, dy] = mapTuple([...queriesKeysValues(qkvTC, shape), yTD, dyTD], (x) => heads(x, shape));
  const [qSwapped, kSwapped, dySwapped] = mapTuple([q, k, dy], swap);
  const sumGS1 = tf.sum(tf.mul(dy, y), -1, true);
  const [logSumG1S, alongG1S] = mapTuple([logSumGS1, sumGS1], (x) => tf.reshape(x, [-1, 1, seqLen]));
  let dqSwapped: tf.Tensor | undefined;
  const dks: tf.Tensor[] = [];
  const dvs: tf.Tensor[] = [];
  for (const keys of halves(seqLen)) {
    const queries = { begin: keys.begin, end: seqLen };
    const productsGKQ = tf.matMul(rows(k, keys), columns(qSwapped, queries));
    const causalGKQ = scores(productsGKQ, q, tf.transpose(mask(queries, keys)));
    const scoresGKQ = betweenSegments(causalGKQ, segmentsGS1, keys, queries);
    const probabilitiesGKQ = tf.exp(tf.sub(scoresGKQ, columns(logSumG1S, queries)));
    const dProbabilities = tf.matMul(rows(v, keys), columns(dySwapped, queries));
    const dScores = tf.mul(
      tf.mul(probabilitiesGKQ, tf.sub(dProbabilities, columns(alongG1S, queries))),
      scaleOf(q),
    );
    dqSwapped = plusLastColumns(dqSwapped, tf.matMul(columns(kSwapped, keys), dScores));
    dks.push(tf.matMul(dScores, rows(q, queries)));
    dvs.push(tf.matMul(probabilitiesGKQ, rows(dy, queries)));
  }
  return sumOfShared(joinHeads([swap(dqSwapped!), concat(dks, 1), concat(dvs, 1)], shape), shape);
}

/** Computes products divided by sqrt(h), minus 1e9 where the mask hides a key. */
function scores(products: tf.Tensor, q: tf.Tensor, maskOfBlock: tf.Tensor): tf.Tensor {
  return tf.add(tf.mul(products, scaleOf(q)), maskOfBlock);
}

/** Returns scores between row and column positions, minus at least 1e9 where they are in different segments. */
function betweenSegments(
  scoresOfBlock: tf.Tensor,
  segmentsGS1: tf.Tensor | undefined,
  ofRows: Block,
  ofColumns: Block,
): tf.Tensor {
  if (segmentsGS1 === undefined) return scoresOfBlock;
  const segmentsG1S = tf.reshape(segmentsGS1, [-1, 1, segmentsGS1.shape[1]!]);
  const apart = tf.sub(rows(segmentsGS1, ofRows), columns(segmentsG1S, ofColumns));
  return tf.sub(scoresOfBlock, tf.mul(tf.mul(apart, apart), 1e9));
}

/** Creates the mask [Q, K]: -1e9 for keys after the query. */
function mask(queries: Block, keys: Block): tf.Tensor {
  const numKeys = keys.end - keys.begin;
  const values = new Float32Array((queries.end - queries.begin) * numKeys);
  for (let query = queries.begin; query < queries.end; query++) {
    const row = (query - queries.begin) * numKeys;
    values.fill(-1e9, row + Math.min(numKeys, query + 1 - keys.begin), row + numKeys);
  }
  return tf.tensor2d(values, [queries.end - queries.begin, numKeys]);
}

/** Returns 1 / sqrt(h). */
function scaleOf(q: tf.Tensor): number {
  return 1 / Math.sqrt(q.shape[2]!);
}

/** Takes the rows of a block: [G, a, b] -> [G, end - begin, b]. */
function rows(x: tf.Tensor, { begin, end }: Block): tf.Tensor {
  const [groups, length, width] = x.shape as [number, number, number];
  return end - begin === length ? x : tf.slice(x, [0, begin, 0], [groups, end - begin, width]);
}

/** Takes the columns of a block: [G, a, b] -> [G, a, end - begin]. */
function columns(x: tf.Tensor, { begin, end }: Block): tf.Tensor {
  const [groups, length, width] = x.shape as [number, number, number];
  return end - begin === width ? x : tf.slice(x, [0, 0, begin], [groups, length, end - begin]);
}

function concat(parts: tf.Tensor[], axis: number): tf.Tensor {
  return parts.length === 1 ? parts[0]! : tf.concat(parts, axis);
}

/** Adds [G, h, Q] to the last Q columns of [G, h, S]. */
function plusLastColumns(sum: tf.Tensor | undefined, x: tf.Tensor): tf.Tensor {
  if (sum === undefined) return x;
  const missing = sum.shape[2]! - x.shape[2]!;
  return tf.add(
    sum,
    tf.pad(x as tf.Tensor3D, [
      [0, 0],
      [0, 0],
      [missing, 0],
    ]),
  );
}

/** Swaps rows and columns: [G, a, b] -> [G, b, a]. */
function swap(x: tf.Tensor): tf.Tensor {
  return tf.transpose(x, [0, 2, 1]);
}

/** Splits [T, (H + 2 K) h] into three tensors [T, d]; repeats keys and values for the heads that share them. */
function queriesKeysValues(
  xTC: tf.Tensor,
  shape: AttentionShape,
): readonly [tf.Tensor, tf.Tensor, tf.Tensor] {
  const { numHeads } = shape;
  const numKeyValueHeads = keyValueHeadsOf(shape);
  const [numTokens, width] = xTC.shape as [number, number];
  const h = width / (numHeads + 2 * numKeyValueHeads);
  return mapTuple([0, numHeads, numHeads + numKeyValueHeads], (begin, i) => {
    const count = i === 0 ? numHeads : numKeyValueHeads;
    const part = tf.slice(xTC, [0, begin * h], [numTokens, count * h]);
    if (count === numHeads) return part;
    const repeated = tf.tile(tf.reshape(part, [numTokens, count, 1, h]), [1, 1, numHeads / count, 1]);
    return tf.reshape(repeated, [numTokens, numHeads * h]);
  });
}

/** Sums gradients of keys and values over the heads that share them: [T, 3 d] -> [T, (H + 2 K) h]. */
function sumOfShared(gradientsTC: tf.Tensor, shape: AttentionShape): tf.Tensor {
  const { numHeads } = shape;
  const numKeyValueHeads = keyValueHeadsOf(shape);
  if (numKeyValueHeads === numHeads) return gradientsTC;
  const [numTokens, width] = gradientsTC.shape as [number, number];
  const d = width / 3;
  const shared = tf.reshape(tf.slice(gradientsTC, [0, d], [numTokens, 2 * d]), [
    numTokens,
    2 * numKeyValueHeads,
    numHeads / numKeyValueHeads,
    d / numHeads,
  ]);
  const sums = tf.reshape(tf.sum(shared, 2), [numTokens, -1]);
  return tf.concat([tf.slice(gradientsTC, [0, 0], [numTokens, d]), sums], 1);
}

/** Splits a tensor by head: [T, d] -> [G, S, h]. */
function heads(xTD: tf.Tensor, { numSequences, seqLen, numHeads }: AttentionShape): tf.Tensor {
  const byHead = tf.reshape(xTD, [numSequences, seqLen, numHeads, -1]);
  return tf.reshape(tf.transpose(byHead, [0, 2, 1, 3]), [-1, seqLen, byHead.shape[3]!]);
}

/** Concatenates n tensors [G, S, h] -> [T, n d]. */
function joinHeads(
  parts: readonly tf.Tensor[],
  { numSequences, seqLen, numHeads }: AttentionShape,
): tf.Tensor {
  const numTokens = numSequences * seqLen;
  // Parts are concatenated along an axis outside the heads, or XLA would test which part each element belongs to.
  const byToken = parts.map((x) => {
    const byHead = tf.reshape(x, [numSequences, numHeads, seqLen, x.shape[2]!]);
    return tf.reshape(tf.transpose(byHead, [0, 2, 1, 3]), [numTokens, 1, numHeads, x.shape[2]!]);
  });
  return tf.reshape(concat(byToken, 1), [numTokens, -1]);
}
