import * as tf from '@tensorflow/tfjs-node';
import { type QueryBlock, queryBlocks } from '../attention-blocks.js';
import { fusedOp } from './fused-op.js';

// Shapes: B sequences, S positions, T = B S tokens, H heads, h = d / H size of a head, G = B H head-sequences, Q queries of a
// block, K keys that they see.

export interface AttentionShape {
  readonly numSequences: number;
  readonly seqLen: number;
  readonly numHeads: number;
}

/**
 * softmax(q k^T / sqrt(h) + causal mask) v for every head (Vaswani et al., arXiv 1706.03762, eq. 1).
 *
 * Only the logarithm of each normaliser is kept for the backward, which works the scores out again and takes
 * dS = P (dP - rowsum(dO O)), as FlashAttention does (arXiv 2205.14135, B.2).
 *
 * @param qkvTC [T, 3 d]: queries, keys, values, each of H heads
 * @returns [T, d]
 */
export function causalAttention(qkvTC: tf.Tensor2D, shape: AttentionShape): tf.Tensor2D {
  const name = `attention of ${shape.numHeads} heads, ${shape.numSequences} x ${shape.seqLen} tokens`;
  return fusedOp([qkvTC], (run) => {
    const [yTD, logSumGS1] = run(name, [qkvTC], (qkv) => forward(qkv, shape));
    return {
      value: yTD,
      saved: [qkvTC, yTD, logSumGS1],
      backward: (dyTD, saved) =>
        run(`gradient of ${name}`, [dyTD, ...saved], (...tensors) => [backward(tensors, shape)]),
    };
  });
}

function forward(qkvTC: tf.Tensor, shape: AttentionShape): tf.Tensor[] {
  const [qTD, kTD, vTD] = thirds(qkvTC);
  const q = heads(qTD, shape);
  const kSwapped = swappedHeads(kTD, shape);
  const v = heads(vTD, shape);
  const ys: tf.Tensor[] = [];
  const logSums: tf.Tensor[] = [];
  for (const block of queryBlocks(shape.seqLen)) {
    const scoresGQK = scores(q, kSwapped, block);
    const maxGQ1 = tf.max(scoresGQK, -1, true);
    const expGQK = tf.exp(tf.sub(scoresGQK, maxGQ1));
    const sumGQ1 = tf.sum(expGQK, -1, true);
    ys.push(tf.div(tf.matMul(expGQK, rows(v, 0, block.end)), sumGQ1));
    logSums.push(tf.add(maxGQ1, tf.log(sumGQ1)));
  }
  return [joinHeads(concat(ys), shape), concat(logSums)];
}

/**
 * No product transposes one of its sides, which TensorFlow does number by number: what is needed transposed is taken from
 * [T, C] that way, and gradients of keys and values come out so.
 */
function backward([dyTD, qkvTC, yTD, logSumGS1]: readonly tf.Tensor[], shape: AttentionShape): tf.Tensor {
  const [qTD, kTD, vTD] = thirds(qkvTC);
  const [q, k, dy] = [qTD, kTD, dyTD].map((x) => heads(x, shape));
  const [qSwapped, kSwapped, vSwapped, dySwapped] = [qTD, kTD, vTD, dyTD].map((x) => swappedHeads(x, shape));
  const alongGS1 = tf.sum(tf.mul(dy, heads(yTD, shape)), -1, true);
  const dqs: tf.Tensor[] = [];
  let dkSwapped: tf.Tensor | undefined;
  let dvSwapped: tf.Tensor | undefined;
  for (const block of queryBlocks(shape.seqLen)) {
    const { begin, end } = block;
    const probabilitiesGQK = tf.exp(tf.sub(scores(q, kSwapped, block), rows(logSumGS1, begin, end)));
    const dProbabilities = tf.matMul(rows(dy, begin, end), columns(vSwapped, 0, end));
    const dScores = tf.mul(
      tf.mul(probabilitiesGQK, tf.sub(dProbabilities, rows(alongGS1, begin, end))),
      scaleOf(q),
    );
    dqs.push(tf.matMul(dScores, rows(k, 0, end)));
    dkSwapped = plusColumns(dkSwapped, tf.matMul(columns(qSwapped, begin, end), dScores), shape);
    dvSwapped = plusColumns(dvSwapped, tf.matMul(columns(dySwapped, begin, end), probabilitiesGQK), shape);
  }
  const gradients = [concat(dqs), swap(dkSwapped!), swap(dvSwapped!)];
  return tf.concat(
    gradients.map((x) => joinHeads(x, shape)),
    1,
  );
}

/** q k^T / sqrt(h), less 1e9 where the mask hides a key: [G, S, h] and [G, h, S] -> [G, Q, K]. */
function scores(q: tf.Tensor, kSwapped: tf.Tensor, { begin, end }: QueryBlock): tf.Tensor {
  const mask = new Float32Array((end - begin) * end);
  for (let row = begin; row < end; row++)
    mask.fill(-1e9, (row - begin) * end + row + 1, (row - begin + 1) * end);
  const products = tf.matMul(rows(q, begin, end), columns(kSwapped, 0, end));
  return tf.add(tf.mul(products, scaleOf(q)), tf.tensor2d(mask, [end - begin, end]));
}

/** 1 / sqrt(h). */
function scaleOf(q: tf.Tensor): number {
  return 1 / Math.sqrt(q.shape[2]!);
}

/** [G, a, b] -> [G, end - begin, b]. */
function rows(x: tf.Tensor, begin: number, end: number): tf.Tensor {
  const [groups, length, width] = x.shape;
  return end - begin === length ? x : tf.slice(x, [0, begin, 0], [groups, end - begin, width]);
}

/** [G, a, b] -> [G, a, end - begin]. */
function columns(x: tf.Tensor, begin: number, end: number): tf.Tensor {
  const [groups, length, width] = x.shape;
  return end - begin === width ? x : tf.slice(x, [0, 0, begin], [groups, length, end - begin]);
}

/** Blocks of rows below each other: [G, Q, h] -> [G, S, h]. */
function concat(blocks: tf.Tensor[]): tf.Tensor {
  return blocks.length === 1 ? blocks[0] : tf.concat(blocks, 1);
}

/** [G, h, S] + [G, h, K], the first columns of it. */
function plusColumns(sum: tf.Tensor | undefined, x: tf.Tensor, { seqLen }: AttentionShape): tf.Tensor {
  const missing = seqLen - x.shape[2]!;
  const whole =
    missing === 0
      ? x
      : tf.pad(x as tf.Tensor3D, [
          [0, 0],
          [0, 0],
          [0, missing],
        ]);
  return sum === undefined ? whole : tf.add(sum, whole);
}

/** [G, a, b] -> [G, b, a]. */
function swap(x: tf.Tensor): tf.Tensor {
  return tf.transpose(x, [0, 2, 1]);
}

/** [T, 3 d] -> three tensors [T, d]. */
function thirds(xTC: tf.Tensor): tf.Tensor[] {
  const [numTokens, width] = xTC.shape as [number, number];
  const d = width / 3;
  return [0, 1, 2].map((i) => tf.slice(xTC, [0, i * d], [numTokens, d]));
}

/** [T, d] -> [G, S, h]. */
function heads(xTD: tf.Tensor, { numSequences, seqLen, numHeads }: AttentionShape): tf.Tensor {
  const byHead = tf.reshape(xTD, [numSequences, seqLen, numHeads, -1]);
  return tf.reshape(tf.transpose(byHead, [0, 2, 1, 3]), [-1, seqLen, byHead.shape[3]!]);
}

/** [T, d] -> [G, h, S]. */
function swappedHeads(xTD: tf.Tensor, { numSequences, seqLen, numHeads }: AttentionShape): tf.Tensor {
  const byHead = tf.reshape(xTD, [numSequences, seqLen, numHeads, -1]);
  return tf.reshape(tf.transpose(byHead, [0, 2, 3, 1]), [-1, byHead.shape[3]!, seqLen]);
}

/** [G, S, h] -> [T, d]. */
function joinHeads(x: tf.Tensor, { numSequences, seqLen, numHeads }: AttentionShape): tf.Tensor {
  const byHead = tf.reshape(x, [numSequences, numHeads, seqLen, x.shape[2]!]);
  return tf.reshape(tf.transpose(byHead, [0, 2, 1, 3]), [numSequences * seqLen, -1]);
}
