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
  return fusedOp([qkvTC], () => {
    const headSize = qkvTC.shape[1] / (3 * shape.numHeads);
    const scale = 1 / Math.sqrt(headSize);
    const [rawQ, k, v] = splitHeads(qkvTC, shape, headSize, 3);
    const q = tf.mul(rawQ, scale);
    const scoresGSS = addCausalMask(tf.matMul(q, k, false, true), shape.seqLen);
    const expGSS = tf.exp(tf.sub(scoresGSS, tf.max(scoresGSS, -1, true)));
    const sumGS1 = tf.sum(expGSS, -1, true);
    const outGSh = tf.div(tf.matMul(expGSS, v), sumGS1);
    return {
      value: mergeHeads([outGSh], shape, headSize),
      saved: [q, k, v, expGSS, sumGS1, outGSh],
      backward: (dyTD, saved) => [backward(dyTD, saved, shape, headSize, scale)],
    };
  });
}

function backward(
  dyTD: tf.Tensor,
  [q, k, v, expGSS, sumGS1, outGSh]: readonly tf.Tensor[],
  shape: AttentionShape,
  headSize: number,
  scale: number,
): tf.Tensor {
  const dOut = tf.div(splitHeads(dyTD, shape, headSize, 1)[0], sumGS1);
  const dv = tf.matMul(expGSS, dOut, true);
  const dExp = tf.sub(tf.matMul(dOut, v, false, true), tf.sum(tf.mul(dOut, outGSh), -1, true));
  const dScores = tf.mul(expGSS, dExp);
  const dq = tf.mul(tf.matMul(dScores, k), scale);
  return mergeHeads([dq, tf.matMul(dScores, q, true), dv], shape, headSize);
}

/** [T, n d] -> n tensors [G, S, h]; heads come before sequences so that each of the n is one contiguous slice. */
function splitHeads(xTC: tf.Tensor, shape: AttentionShape, headSize: number, n: number): tf.Tensor3D[] {
  const { numSequences, seqLen, numHeads } = shape;
  const heads = tf.transpose(tf.reshape(xTC, [numSequences, seqLen, n * numHeads, headSize]), [2, 0, 1, 3]);
  const groups = numHeads * numSequences;
  const stacked: tf.Tensor3D = tf.reshape(heads, [n * groups, seqLen, headSize]);
  return Array.from({ length: n }, (_, i) => tf.slice(stacked, i * groups, groups));
}

/** n tensors [G, S, h] -> [T, n d]. */
function mergeHeads(xs: tf.Tensor[], shape: AttentionShape, headSize: number): tf.Tensor2D {
  const { numSequences, seqLen, numHeads } = shape;
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
