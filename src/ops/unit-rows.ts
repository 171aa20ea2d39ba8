import { mapTuple } from '../map-tuple.js';
import { fusedOp } from './autograd.js';
import { kernels } from './kernels/choose-kernels.js';
import type { tf } from './tensorflow.js';

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
