import * as tf from '@tensorflow/tfjs-node';
import { fusedOp } from './fused-op.js';
import { narrowingGradient, product, transposedProduct } from './mat-mul.js';

// Shapes: T tokens, d hidden size, V vocabulary.

/**
 * Cross-entropy of each token under softmax(x E^T), E the tied embedding: the softmax, its loss and both matrix products
 * in one operation. The normaliser and the gradient of the loss are applied to the narrow matrices on either side of
 * exp(logits) instead of to it; less the normaliser where the target is, it gives the whole gradient of the logits.
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
    const inputs = [logitsTV, xTD, ofTargetsTD, targets];
    const [lossT, differenceTV, sumT1] = run('cross-entropy', inputs, forward);
    return {
      value: lossT,
      saved: [xTD, embeddingVD, differenceTV, sumT1],
      backward,
    };
  });
}

function forward(
  logitsTV: tf.Tensor,
  xTD: tf.Tensor,
  ofTargetsTD: tf.Tensor,
  targetsT: tf.Tensor,
): tf.Tensor[] {
  const maxT1 = tf.max(logitsTV, 1, true);
  const expTV = tf.exp(tf.sub(logitsTV, maxT1));
  const sumT1 = tf.sum(expTV, 1, true);
  const targetLogitT1 = tf.sum(tf.mul(xTD, ofTargetsTD), 1, true);
  const lossT1 = tf.sub(tf.add(tf.log(sumT1), maxT1), targetLogitT1);
  const isTargetTV = tf.oneHot(targetsT as tf.Tensor1D, logitsTV.shape[1]!, 1, 0, 'float32');
  return [tf.reshape(lossT1, [-1]), tf.sub(expTV, tf.mul(isTargetTV, sumT1)), sumT1];
}

/** d logits = dy (exp / sum - 1 at the target). */
function backward(dyT: tf.Tensor, saved: readonly tf.Tensor[]): tf.Tensor[] {
  const [xTD, embeddingVD, differenceTV, sumT1] = saved;
  const scaleT1 = tf.div(tf.reshape(dyT, [-1, 1]), sumT1);
  return [
    tf.mul(product(differenceTV, embeddingVD), scaleT1),
    narrowingGradient(differenceTV, tf.mul(xTD, scaleT1)),
  ];
}
