import { mapTuple } from '../map-tuple.js';
import { fusedOp } from './autograd.js';
import { kernels } from './kernels/choose-kernels.js';
import type { tf } from './tensorflow.js';

// Shapes: T rows, d coordinates of a row, E groups of d / E coordinates.

/**
 * Computes the products of each row with unit vectors that are constant on one group and zero elsewhere, times factors:
 * sum over the group of x_{t,i} b_i / sqrt(d / E), [T, d] -> [T, E]. Without factors they are x . w_i / |w_i| of the gates w_i of
 * GrAP (LocMoE, arXiv 2401.13920, eq. 4), of unit variance for independent coordinates of unit variance, whatever d and E.
 *
 * @param factorsD b, [d]; null for ones
 * @throws RangeError if E does not divide d
 */
export function groupProducts(
  xTD: tf.Tensor2D,
  numGroups: number,
  factorsD: tf.Tensor1D | null,
): tf.Tensor2D {
  const d = xTD.shape[1];
  if (d % numGroups !== 0) throw new RangeError(`${d} coordinates are no ${numGroups} groups of equal size`);
  return fusedOp(factorsD === null ? [xTD] : [xTD, factorsD], () =>
    kernels().groupProducts(xTD, numGroups, factorsD),
  );
}

/** Computes sqrt(mean of the group's b_i^2 + least), [d] -> [E]. */
export function groupNorms(factorsD: tf.Tensor1D, numGroups: number, least: number): tf.Tensor1D {
  const width = factorsD.size / numGroups;
  return fusedOp([factorsD], () => {
    const squaresE = new Float64Array(numGroups).fill(least);
    factorsD.dataSync<'float32'>().forEach((factor, i) => {
      squaresE[Math.floor(i / width)]! += factor ** 2 / width;
    });
    const norms = vectorOf(squaresE.map(Math.sqrt));
    return {
      value: norms,
      saved: [factorsD, norms],
      backward: (dyE, saved) => {
        const [dy, kept, normsE] = mapTuple([dyE, ...saved], (each) => each.dataSync<'float32'>());
        const gradient = Float64Array.from(kept, (factor, i) => {
          const group = Math.floor(i / width);
          return (dy[group]! * factor) / (width * normsE[group]!);
        });
        return [vectorOf(gradient)];
      },
    };
  });
}

function vectorOf(values: Float64Array): tf.Tensor1D {
  const vector = kernels().create([values.length]);
  vector.values.set(values);
  return vector.tensor as tf.Tensor1D;
}
