import type * as tf from '@tensorflow/tfjs-node';
import { mapTuple } from '../map-tuple.js';
import { fusedOp } from './autograd.js';
import { kernels } from './kernels/choose-kernels.js';

/**
 * Computes the cosines of each row with the vectors that are one on a block of d / E coordinates and zero elsewhere:
 * the sum of a block of x_t divided by sqrt(d / E) sqrt(|x_t|^2 + least).
 *
 * @param xTD [T, d]
 * @param numGroups E, divides d
 * @param least keeps the result finite for a row of zeros
 * @returns [T, E]
 */
export function groupCosines(xTD: tf.Tensor2D, numGroups: number, least: number): tf.Tensor2D {
  const [numRows, dModel] = xTD.shape;
  const width = dModel / numGroups;
  const scale = 1 / Math.sqrt(width);
  return fusedOp([xTD], () => {
    const y = kernels().create([numRows, numGroups]);
    const x = xTD.dataSync<'float32'>();
    const inverseNorms = new Float32Array(numRows);
    for (let row = 0; row < numRows; row++) {
      let square = least;
      let at = row * dModel;
      for (let group = 0; group < numGroups; group++) {
        let sum = 0;
        for (const end = at + width; at < end; at++) {
          sum += x[at]!;
          square += x[at]! * x[at]!;
        }
        y.values[row * numGroups + group] = sum;
      }
      const inverse = 1 / Math.sqrt(square);
      inverseNorms[row] = inverse;
      for (let at = row * numGroups; at < (row + 1) * numGroups; at++) y.values[at]! *= scale * inverse;
    }
    return {
      value: y.tensor,
      saved: [xTD, y.tensor],
      // dx = (scale dy_e - x (dy . y) / norm) / norm, with e the block of the coordinate
      backward: (dyTE, [keptX, keptY]) => {
        const dx = kernels().create([numRows, dModel]);
        const [dy, input, cosines] = mapTuple([dyTE, keptX, keptY], (each) => each.dataSync<'float32'>());
        for (let row = 0; row < numRows; row++) {
          const inverse = inverseNorms[row]!;
          const first = row * numGroups;
          let along = 0;
          for (let at = first; at < first + numGroups; at++) along += dy[at]! * cosines[at]!;
          const back = along * inverse * inverse;
          let at = row * dModel;
          for (let group = first; group < first + numGroups; group++) {
            const own = scale * inverse * dy[group]!;
            for (const end = at + width; at < end; at++) dx.values[at] = own - back * input[at]!;
          }
        }
        return [dx.tensor];
      },
    };
  });
}
