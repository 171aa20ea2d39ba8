import { LAYER_NORM_EPSILON } from '../../on-host.js';
import { tf } from '../../tensorflow.js';

// Shapes: T rows, d hidden size.

/** @returns y, and the mean and the inverse standard deviation of each row */
export function layerNormForward(xTD: tf.Tensor, gainD: tf.Tensor, biasD: tf.Tensor): tf.Tensor[] {
  const meanT1 = tf.mean(xTD, -1, true);
  const centredTD = tf.sub(xTD, meanT1);
  const inverseStdT1 = tf.rsqrt(tf.add(tf.mean(tf.square(centredTD), -1, true), LAYER_NORM_EPSILON));
  const normalTD = tf.mul(centredTD, inverseStdT1);
  return [tf.add(tf.mul(normalTD, gainD), biasD), meanT1, inverseStdT1];
}

/** Computes dx = (g - mean(g) - n mean(g n)) / std, with g = dy gain and n the normalised input. */
export function layerNormBackward(
  dyTD: tf.Tensor,
  xTD: tf.Tensor,
  meanT1: tf.Tensor,
  inverseStdT1: tf.Tensor,
  gainD: tf.Tensor,
): tf.Tensor[] {
  const normalTD = tf.mul(tf.sub(xTD, meanT1), inverseStdT1);
  const gTD = tf.mul(dyTD, gainD);
  const alongTD = tf.mul(normalTD, tf.mean(tf.mul(gTD, normalTD), -1, true));
  const dxTD = tf.mul(tf.sub(tf.sub(gTD, tf.mean(gTD, -1, true)), alongTD), inverseStdT1);
  return [dxTD, tf.sum(tf.mul(dyTD, normalTD), 0), tf.sum(dyTD, 0)];
}
