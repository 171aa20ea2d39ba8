import { mapTuple } from '../map-tuple.js';
import { fusedOp } from './autograd.js';
import { kernels } from './kernels/choose-kernels.js';
import type { tf } from './tensorflow.js';

/** Adds a bias to each row on the host, in place: [T, d]. */
export function addBiasOnHost(xTD: Float32Array, biasD: Float32Array): void {
  for (let begin = 0; begin < xTD.length; begin += biasD.length)
    for (let i = 0; i < biasD.length; i++) xTD[begin + i]! += biasD[i]!;
}

/** Computes x + b for every row: [T, d] -> [T, d]. */
export function addBias(xTD: tf.Tensor2D, biasD: tf.Tensor): tf.Tensor2D {
  return fusedOp([xTD, biasD], () => {
    const y = kernels().create(xTD.shape);
    const [x, bias] = mapTuple([xTD, biasD], (each) => each.dataSync<'float32'>());
    y.values.set(x);
    addBiasOnHost(y.values, bias);
    return {
      value: y.tensor,
      saved: [],
      backward: (dyTD) => {
        const dBias = kernels().create(biasD.shape);
        const dy = dyTD.dataSync<'float32'>();
        dBias.values.fill(0);
        for (let begin = 0; begin < dy.length; begin += dBias.values.length)
          for (let i = 0; i < dBias.values.length; i++) dBias.values[i]! += dy[begin + i]!;
        return [dyTD, dBias.tensor];
      },
    };
  });
}
