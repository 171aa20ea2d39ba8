import { mapTuple } from '../map-tuple.js';
import { fusedOp } from './autograd.js';
import { kernels } from './kernels/choose-kernels.js';
import type { tf } from './tensorflow.js';

// Shapes: T rows, E columns, K choices of a row.

/** Keeps shares finite where all values are 0. */
const LEAST_SUM = 1e-20;

/**
 * Returns the chosen elements of each row; empty places have the first element. [T, E] -> [T, K]
 *
 * @param chosenTK chosen columns, row-major [T, K], -1 for none
 */
export function chosenColumns(valuesTE: tf.Tensor2D, chosenTK: Int32Array, numChoices: number): tf.Tensor2D {
  const [numRows, numColumns] = valuesTE.shape;
  return fusedOp([valuesTE], () => {
    const chosen = kernels().create([numRows, numChoices]);
    const values = valuesTE.dataSync<'float32'>();
    for (let i = 0; i < chosenTK.length; i++)
      chosen.values[i] = values[elementOf(i, chosenTK[i]!, numChoices, numColumns)]!;
    return {
      value: chosen.tensor,
      saved: [],
      backward: (dyTK) => {
        const dx = kernels().create(valuesTE.shape);
        dx.values.fill(0);
        const dy = dyTK.dataSync<'float32'>();
        for (let i = 0; i < chosenTK.length; i++)
          dx.values[elementOf(i, chosenTK[i]!, numChoices, numColumns)]! += dy[i]!;
        return [dx.tensor];
      },
    };
  });
}

/**
 * Returns the chosen elements of each row divided by their sum, 0 in empty places: [T, E] -> [T, K].
 *
 * @param chosenTK as `chosenColumns`
 */
export function sharesOfColumns(
  valuesTE: tf.Tensor2D,
  chosenTK: Int32Array,
  numChoices: number,
): tf.Tensor2D {
  const [numRows, numColumns] = valuesTE.shape;
  const at = (i: number) => elementOf(i, chosenTK[i]!, numChoices, numColumns);
  return fusedOp([valuesTE], () => {
    const shares = kernels().create([numRows, numChoices]);
    const values = valuesTE.dataSync<'float32'>();
    const sumsT = new Float64Array(numRows).fill(LEAST_SUM);
    for (let i = 0; i < chosenTK.length; i++)
      if (chosenTK[i]! >= 0) sumsT[Math.floor(i / numChoices)]! += values[at(i)]!;
    for (let i = 0; i < chosenTK.length; i++)
      shares.values[i] = chosenTK[i]! < 0 ? 0 : values[at(i)]! / sumsT[Math.floor(i / numChoices)]!;
    return {
      value: shares.tensor,
      saved: [shares.tensor],
      // dx_k = (dy_k - y . dy) / sum
      backward: (dyTK, [keptTK]) => {
        const dx = kernels().create(valuesTE.shape);
        dx.values.fill(0);
        const [dy, kept] = mapTuple([dyTK, keptTK], (each) => each.dataSync<'float32'>());
        for (let row = 0; row < numRows; row++) {
          const [begin, end] = [row * numChoices, (row + 1) * numChoices];
          let along = 0;
          for (let i = begin; i < end; i++) along += kept[i]! * dy[i]!;
          for (let i = begin; i < end; i++)
            if (chosenTK[i]! >= 0) dx.values[at(i)]! += (dy[i]! - along) / sumsT[row]!;
        }
        return [dx.tensor];
      },
    };
  });
}

function elementOf(place: number, column: number, numChoices: number, numColumns: number): number {
  return Math.floor(place / numChoices) * numColumns + Math.max(0, column);
}
