import { fusedOp } from './fused-op.js';
import { tf } from './tensorflow.js';

// Shapes: T rows, d hidden size.

/** Added to the variance. */
export const LAYER_NORM_EPSILON = 1e-5;

/**
 * Layer norm over the last axis with gain and bias (Ba et al., arXiv 1607.06450, eq. 4); epsilon 1e-5 inside
 * the root as in PyTorch.
 *
 * @param xTD [T, d]
 * @param gainD [d]
 * @param biasD [d]
 * @returns [T, d]
 */
export function layerNorm(xTD: tf.Tensor, gainD: tf.Tensor, biasD: tf.Tensor): tf.Tensor2D {
  return fusedOp([xTD, gainD, biasD], (run) => {
    const [yTD, meanT1, inverseStdT1] = run('layer norm', [xTD, gainD, biasD], forward);
    return {
      value: yTD,
      // Not the normalised input: it is as large as x, which is kept anyway.
      saved: [xTD, meanT1, inverseStdT1, gainD],
      backward: (dyTD, saved) => run('gradient of layer norm', [dyTD, ...saved], backward),
    };
  });
}

/**
 * `layerNorm` on the host, for a few rows, where calls of TensorFlow would take longer.
 *
 * @param xTD row-major [T, d]
 * @returns row-major [T, d]
 */
export function layerNormOnHost(xTD: Float32Array, gainD: Float32Array, biasD: Float32Array): Float32Array {
  const d = gainD.length;
  const yTD = new Float32Array(xTD.length);
  for (let row = 0; row < xTD.length; row += d) {
    let sum = 0;
    for (let i = 0; i < d; i++) sum += xTD[row + i];
    const mean = sum / d;
    let squares = 0;
    for (let i = 0; i < d; i++) squares += (xTD[row + i] - mean) ** 2;
    const inverseStd = 1 / Math.sqrt(squares / d + LAYER_NORM_EPSILON);
    for (let i = 0; i < d; i++) yTD[row + i] = (xTD[row + i] - mean) * inverseStd * gainD[i] + biasD[i];
  }
  return yTD;
}

function forward(xTD: tf.Tensor, gainD: tf.Tensor, biasD: tf.Tensor): tf.Tensor[] {
  const meanT1 = tf.mean(xTD, -1, true);
  const centredTD = tf.sub(xTD, meanT1);
  const inverseStdT1 = tf.rsqrt(tf.add(tf.mean(tf.square(centredTD), -1, true), LAYER_NORM_EPSILON));
  const normalTD = tf.mul(centredTD, inverseStdT1);
  return [tf.add(tf.mul(normalTD, gainD), biasD), meanT1, inverseStdT1];
}

/** dx = (g - mean(g) - n mean(g n)) / std, with g = dy gain and n the normalised input. */
function backward(
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
