import { ifWanted } from '../../gradient-target.js';
import { tf } from '../../tensorflow.js';
import { narrowingGradient, product } from './products.js';

// Shapes: T tokens, d hidden size, V vocabulary.

/** @returns the losses, exp(logits - max) and its sums */
export function crossEntropyForward(
  logitsTV: tf.Tensor,
  xTD: tf.Tensor,
  ofTargetsTD: tf.Tensor,
): tf.Tensor[] {
  const maxT1 = tf.max(logitsTV, 1, true);
  const expTV = tf.exp(tf.sub(logitsTV, maxT1));
  const sumT1 = tf.sum(expTV, 1, true);
  const targetLogitT1 = tf.sum(tf.mul(xTD, ofTargetsTD), 1, true);
  const lossT1 = tf.sub(tf.add(tf.log(sumT1), maxT1), targetLogitT1);
  return [tf.reshape(lossT1, [-1]), expTV, sumT1];
}

type Saved = [
  xTD: tf.Tensor,
  embeddingVD: tf.Tensor,
  expTV: tf.Tensor,
  sumT1: tf.Tensor,
  targets: tf.Tensor1D,
];

export function crossEntropyBackward(
  dyT: tf.Tensor,
  [xTD, embeddingVD, expTV, sumT1, targets]: Saved,
): (tf.Tensor | undefined)[] {
  const dyT1 = tf.reshape(dyT, [-1, 1]);
  const scaleT1 = tf.div(dyT1, sumT1);
  const towardsTargets = tf.mul(tf.gather(embeddingVD, targets), dyT1);
  const dxTD = tf.sub(tf.mul(product(expTV, embeddingVD), scaleT1), towardsTargets);
  const dEmbeddingVD = ifWanted(embeddingVD, () => {
    const dSoftmaxVD = narrowingGradient(expTV, tf.mul(xTD, scaleT1));
    const dTargetsVD = tf.unsortedSegmentSum(tf.mul(xTD, dyT1), targets, embeddingVD.shape[0]);
    return tf.sub(dSoftmaxVD, dTargetsVD);
  });
  return [dxTD, dEmbeddingVD];
}
