import { mapTuple } from '../map-tuple.js';
import { fusedOp } from './autograd.js';
import { kernels } from './kernels/choose-kernels.js';
import { tf } from './tensorflow.js';

/**
 * Returns each row divided by its length: x_t / sqrt(|x_t|^2 + least).
 *
 * @param xTD [T, d]
 * @param least keeps the result finite for a row of zeros
 * @returns [T, d]
 */
export function unitRows(xTD: tf.Tensor2D, least: number): tf.Tensor2D {
  const [numRows, width] = xTD.shape;
  return fusedOp([xTD], () => {
    const y = kernels().create([numRows, width]);
    const x = xTD.dataSync<'float32'>();
    const inverseNorms = new Float32Array(numRows);
    for (let row = 0; row < numRows; row++) {
      const begin = row * width;
      let square = least;
      for (let i = begin; i < begin + width; i++) square += x[i]! * x[i]!;
      const inverse = 1 / Math.sqrt(square);
      inverseNorms[row] = inverse;
      for (let i = begin; i < begin + width; i++) y.values[i] = x[i]! * inverse;
    }
    return {
      value: y.tensor,
      saved: [y.tensor],
      // dx = (dy - y (dy . y)) / norm
      backward: (dyTD, [keptY]) => {
        const dx = kernels().create([numRows, width]);
        const [dy, unit] = mapTuple([dyTD, keptY], (each) => each.dataSync<'float32'>());
        for (let row = 0; row < numRows; row++) {
          const begin = row * width;
          let along = 0;
          for (let i = begin; i < begin + width; i++) along += dy[i]! * unit[i]!;
          for (let i = begin; i < begin + width; i++)
            dx.values[i] = (dy[i]! - unit[i]! * along) * inverseNorms[row]!;
        }
        return [dx.tensor];
      },
    };
  });
}

/**
 * Computes |x_t| of each row, [T, 1], without a gradient, on the host, as TensorFlow would first copy the results of
 * other kernels.
 */
export function rowNorms(xTD: tf.Tensor2D): tf.Tensor2D {
  const [numRows, dModel] = xTD.shape;
  const x = xTD.dataSync<'float32'>();
  const normsT = new Float32Array(numRows);
  for (let row = 0; row < numRows; row++) {
    let square = 0;
    for (let i = row * dModel; i < (row + 1) * dModel; i++) square += x[i]! * x[i]!;
    normsT[row] = Math.sqrt(square);
  }
  return tf.tensor2d(normsT, [numRows, 1]);
}
