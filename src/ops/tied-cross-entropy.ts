import { fusedOp } from './fused-op.js';
import { narrowingGradient, product, transposedProduct } from './mat-mul.js';
import { tf } from './tensorflow.js';

// Shapes: T tokens, d hidden size, V vocabulary.

/**
 * Cross-entropy of each token under softmax(x E^T), E the tied embedding: both matrix products, softmax and
 * loss in one operation. It needs no one-hot of size [T, V], and applies normaliser and loss gradient to the
 * narrow matrices on either side of exp(logits) instead of to it.
 *
 * @param xTD [T, d]
 * @param embeddingVD [V, d]
 * @param targetsT vocabulary ids, length T
 * @returns [T] in nats
 */
export function tiedCrossEntropy(
  xTD: tf.Tensor2D,
  embeddingVD: tf.Tensor2D,
  targetsT: Int32Array,
): tf.Tensor1D {
  return fusedOp([xTD, embeddingVD], (run) => {
    const logitsTV = transposedProduct(xTD, embeddingVD);
    const targets = tf.tensor1d(targetsT, 'int32');
    const ofTargetsTD = tf.gather(embeddingVD, targets);
    const [lossT, expTV, sumT1] = run('cross-entropy', [logitsTV, xTD, ofTargetsTD], forward);
    return {
      value: lossT,
      saved: [xTD, embeddingVD, expTV, sumT1, targets],
      backward,
    };
  });
}

function forward(logitsTV: tf.Tensor, xTD: tf.Tensor, ofTargetsTD: tf.Tensor): tf.Tensor[] {
  const maxT1 = tf.max(logitsTV, 1, true);
  const expTV = tf.exp(tf.sub(logitsTV, maxT1));
  const sumT1 = tf.sum(expTV, 1, true);
  const targetLogitT1 = tf.sum(tf.mul(xTD, ofTargetsTD), 1, true);
  const lossT1 = tf.sub(tf.add(tf.log(sumT1), maxT1), targetLogitT1);
  return [tf.reshape(lossT1, [-1]), expTV, sumT1];
}

function backward(dyT: tf.Tensor, saved: readonly tf.Tensor[]): tf.Tensor[] {
  const [xTD, embeddingVD, expTV, sumT1] = saved;
  const targets = saved[4] as tf.Tensor1D;
  const dyT1 = tf.reshape(dyT, [-1, 1]);
  const scaleT1 = tf.div(dyT1, sumT1);
  const towardsTargets = tf.mul(tf.gather(embeddingVD, targets), dyT1);
  const dxTD = tf.sub(tf.mul(product(expTV, embeddingVD), scaleT1), towardsTargets);
  const dSoftmaxVD = narrowingGradient(expTV, tf.mul(xTD, scaleT1));
  const dTargetsVD = tf.unsortedSegmentSum(tf.mul(xTD, dyT1), targets, embeddingVD.shape[0]);
  return [dxTD, tf.sub(dSoftmaxVD, dTargetsVD)];
}
