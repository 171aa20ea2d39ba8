import * as tf from '@tensorflow/tfjs-node';
import { fusedOp } from './fused-op.js';

// Shapes: B sequences, S positions, T = B S tokens, H heads, h = d / H size of a head, G = H B head-sequences.

export interface AttentionShape {
  readonly numSequences: number;
  readonly seqLen: number;
  readonly numHeads: number;
}

/**
 * softmax(q k^T / sqrt(h) + causal mask) v for every head (Vaswani et al., arXiv 1706.03762, eq. 1).
 *
 * The probabilities are kept for the backward without their normaliser, which is applied to the small [G, S, h]
 * tensors on either side of them; dS = P (dP - rowsum(dO O)) is that of FlashAttention (arXiv 2205.14135, B.2).
 *
 * @param qkvTC [T, 3 d]: queries, keys, values, each of H heads
 * @returns [T, d]
 */
export function causalAttention(qkvTC: tf.Tensor2D, shape: AttentionShape): tf.Tensor2D {
  const name = `attention of ${shape.numHeads} heads, ${shape.numSequences} x ${shape.seqLen} tokens`;
  return fusedOp([qkvTC], (run) => {
    const [yTD, expGSS, sumGS1] = run(name, [qkvTC], (qkv) => forward(qkv, shape));
    return {
      value: yTD,
      saved: [qkvTC, yTD, expGSS, sumGS1],
      backward: (dyTD, saved) =>
        run(`gradient of ${name}`, [dyTD, ...saved], (...tensors) => [backward(tensors, shape)]),
    };
  });
}

function forward(qkvTC: tf.Tensor, shape: AttentionShape): tf.Tensor[] {
  const [q, k, v] = splitHeads(qkvTC, shape, 3);
  const scaledQ = tf.mul(q, scaleOf(q));
  const scoresGSS = addCausalMask(tf.matMul(scaledQ, k, false, true), shape.seqLen);
  const expGSS = tf.exp(tf.sub(scoresGSS, tf.max(scoresGSS, -1, true)));
  const sumGS1 = tf.sum(expGSS, -1, true);
  return [mergeHeads([tf.div(tf.matMul(expGSS, v), sumGS1)], shape), expGSS, sumGS1];
}

/**
 * No [S, S] matrix is transposed: products with one take the other side transposed, and give their result transposed.
 */
function backward(
  [dyTD, qkvTC, yTD, expGSS, sumGS1]: readonly tf.Tensor[],
  shape: AttentionShape,
): tf.Tensor {
  const [q, k, v] = splitHeads(qkvTC, shape, 3);
  const [y] = splitHeads(yTD, shape, 1);
  const dy = tf.div(splitHeads(dyTD, shape, 1)[0], sumGS1);
  const dExp = tf.sub(tf.matMul(dy, swap(v)), tf.sum(tf.mul(dy, y), -1, true));
  const dScores = tf.mul(tf.mul(expGSS, dExp), scaleOf(q));
  const dq = tf.matMul(dScores, k);
  const dkSwapped = tf.matMul(swap(q), dScores);
  const dvSwapped = tf.matMul(swap(dy), expGSS);
  return mergeHeads([dq, swap(dkSwapped), swap(dvSwapped)], shape);
}

/** 1 / sqrt(h). */
function scaleOf(q: tf.Tensor): number {
  return 1 / Math.sqrt(q.shape[2]!);
}

/** [G, a, b] -> [G, b, a]. */
function swap(x: tf.Tensor): tf.Tensor {
  return tf.transpose(x, [0, 2, 1]);
}

/** [T, n d] -> n tensors [G, S, h]; heads come before sequences so that each of the n is one contiguous slice. */
function splitHeads(
  xTC: tf.Tensor,
  { numSequences, seqLen, numHeads }: AttentionShape,
  n: number,
): tf.Tensor3D[] {
  const headSize = xTC.shape[1]! / (n * numHeads);
  const heads = tf.transpose(tf.reshape(xTC, [numSequences, seqLen, n * numHeads, headSize]), [2, 0, 1, 3]);
  const groups = numHeads * numSequences;
  const stacked: tf.Tensor3D = tf.reshape(heads, [n * groups, seqLen, headSize]);
  return Array.from({ length: n }, (_, i) => tf.slice(stacked, i * groups, groups));
}

/** n tensors [G, S, h] -> [T, n d]. */
function mergeHeads(xs: tf.Tensor[], { numSequences, seqLen, numHeads }: AttentionShape): tf.Tensor2D {
  const headSize = xs[0].shape[2]!;
  const columns = xs.length * numHeads;
  const stacked = tf.reshape(xs.length === 1 ? xs[0] : tf.concat(xs, 0), [
    columns,
    numSequences,
    seqLen,
    headSize,
  ]);
  return tf.reshape(tf.transpose(stacked, [1, 2, 0, 3]), [numSequences * seqLen, columns * headSize]);
}

/** Adds -1e9 above the diagonal; as rows of S S elements, which TensorFlow broadcasts fastest. */
function addCausalMask(scoresGSS: tf.Tensor, seqLen: number): tf.Tensor {
  const mask = new Float32Array(seqLen * seqLen);
  for (let row = 0; row < seqLen; row++) mask.fill(-1e9, row * seqLen + row + 1, (row + 1) * seqLen);
  const rows = tf.reshape(scoresGSS, [-1, seqLen * seqLen]);
  return tf.reshape(tf.add(rows, tf.tensor1d(mask)), scoresGSS.shape);
}
