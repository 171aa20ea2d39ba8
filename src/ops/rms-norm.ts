import { mapTuple } from '../map-tuple.js';
import { fusedOp } from './autograd.js';
import { kernels } from './kernels/choose-kernels.js';
import type { tf } from './tensorflow.js';

// Shapes: T rows, d length of the gain. The same loops serve all kernels: oneDNN has this norm from version
// 3.8, but distributions ship older versions.

/**
 * Computes `rmsNorm` on rows on the host, row-major: [T, d] -> [T, d].
 *
 * @param yTD output
 * @param inverseT output: the inverse root mean square of each row, length T
 */
export function rmsNormOnHost(
  xTD: Float32Array,
  gainD: Float32Array,
  epsilon: number,
  yTD: Float32Array = new Float32Array(xTD.length),
  inverseT?: Float64Array,
): Float32Array {
  const d = gainD.length;
  for (let begin = 0; begin < xTD.length; begin += d) {
    let squares = 0;
    for (let i = 0; i < d; i++) squares += xTD[begin + i]! * xTD[begin + i]!;
    const inverse = 1 / Math.sqrt(squares / d + epsilon);
    if (inverseT !== undefined) inverseT[begin / d] = inverse;
    for (let i = 0; i < d; i++) yTD[begin + i] = xTD[begin + i]! * inverse * gainD[i]!;
  }
  return yTD;
}

/**
 * Returns each row divided by its root mean square, times a gain (Zhang and Sennrich, arXiv 1910.07467, eq. 4); epsilon
 * is inside the root as in Llama. [T, d] -> [T, d]. In a wider x, each d coordinates are a row, such as the heads of
 * queries: [T, H d] -> [T, H d].
 */
export function rmsNorm(xTD: tf.Tensor2D, gainD: tf.Tensor, epsilon: number): tf.Tensor2D {
  const d = gainD.size;
  const numRows = xTD.size / d;
  return fusedOp([xTD, gainD], () => {
    const y = kernels().create(xTD.shape);
    const inverseT = new Float64Array(numRows);
    const [x, gain] = mapTuple([xTD, gainD], (each) => each.dataSync<'float32'>());
    rmsNormOnHost(x, gain, epsilon, y.values, inverseT);
    return {
      value: y.tensor,
      saved: [xTD, gainD],
      // dx = (g - n mean(g n)) / rms, with g = dy gain and n the normalised input
      backward: (dyTD, saved) => {
        const [dx, dGain] = mapTuple([xTD, gainD], ({ shape }) => kernels().create(shape));
        const gradient = dx.values;
        const ofGain = new Float64Array(d);
        const [dy, input, scale] = mapTuple([dyTD, ...saved], (each) => each.dataSync<'float32'>());
        for (let row = 0; row < numRows; row++) {
          const begin = row * d;
          const inverse = inverseT[row]!;
          let along = 0;
          for (let i = 0; i < d; i++) {
            const product = dy[begin + i]! * input[begin + i]!;
            along += product * scale[i]!;
            ofGain[i]! += product * inverse;
          }
          const back = (along * inverse * inverse) / d;
          for (let i = 0; i < d; i++)
            gradient[begin + i] = inverse * (dy[begin + i]! * scale[i]! - input[begin + i]! * back);
        }
        dGain.values.set(ofGain);
        return [dx.tensor, dGain.tensor];
      },
    };
  });
}
