import { ifWanted } from '../../gradient-target.js';
import type { tf } from '../../tensorflow.js';
import {
  type FeedForwardNetwork,
  type FeedForwardPiece,
  type FeedForwardWeights,
  partsOf,
} from '../kernels.js';
import type { DeviceMemory } from './device-memory.js';
import { activation, activationBackward } from './elementwise.js';
import { matrixOf, product, productOf, transposed } from './products.js';
import { concatRows } from './rows.js';

export class WebGpuNetwork implements FeedForwardNetwork {
  constructor(private readonly memory: DeviceMemory) {}

  forward(xTD: tf.Tensor2D, weights: FeedForwardWeights) {
    const { wIns, wOut } = partsOf(weights);
    const before = wIns.map((wIn) => this.#product(xTD, wIn));
    return { y: this.#product(activation(this.memory, before), wOut), saved: [xTD, ...before] };
  }

  backward(dyTD: tf.Tensor2D, weights: FeedForwardWeights, [, ...before]: readonly tf.Tensor[]) {
    const { memory } = this;
    const { wIns, wOut } = partsOf(weights);
    const dHidden = productOf(memory, matrixOf(memory, dyTD), transposed(matrixOf(memory, wOut)));
    const { hidden, dBefore } = activationBackward(memory, before, dHidden);
    const dx = memory.create(dyTD.shape);
    wIns.forEach((wIn, i) => {
      const accumulates = i > 0;
      const gradient = matrixOf(memory, dBefore[i]!);
      product(memory, gradient, transposed(matrixOf(memory, wIn)), dx.buffer, { accumulates });
    });
    return { dx: dx.tensor as tf.Tensor2D, kept: [...dBefore, hidden] };
  }

  gradients(pieces: readonly FeedForwardPiece[], weights: FeedForwardWeights): (tf.Tensor | undefined)[] {
    const { memory } = this;
    const { wIns, wOut } = partsOf(weights);
    const all = (of: (piece: FeedForwardPiece) => tf.Tensor) =>
      matrixOf(memory, concatRows(memory, pieces.map(of) as tf.Tensor2D[]));
    const gradient = (
      matrix: tf.Tensor,
      inputs: (piece: FeedForwardPiece) => tf.Tensor,
      dOutputs: (piece: FeedForwardPiece) => tf.Tensor,
    ) => ifWanted(matrix, () => productOf(memory, transposed(all(inputs)), all(dOutputs)));
    return [
      ...wIns.map((wIn, i) =>
        gradient(
          wIn,
          ({ saved }) => saved[0]!,
          ({ kept }) => kept[i]!,
        ),
      ),
      gradient(
        wOut,
        ({ kept }) => kept.at(-1)!,
        ({ dyTD }) => dyTD,
      ),
    ];
  }

  #product(xTA: tf.Tensor, wAB: tf.Tensor): tf.Tensor2D {
    return productOf(this.memory, matrixOf(this.memory, xTA), matrixOf(this.memory, wAB));
  }
}
