import { mapTuple } from '../../../map-tuple.js';
import { ifWanted } from '../../gradient-target.js';
import type { tf } from '../../tensorflow.js';
import {
  type FeedForwardNetwork,
  type FeedForwardPiece,
  type FeedForwardWeights,
  partsOf,
} from '../kernels.js';
import { activation, activationBackward } from './activations.js';
import type { Context } from './context.js';
import type { Operand } from './operand.js';
import { chunksOf, rowsOf, transposed } from './operand.js';
import type { OwnTensor } from './tensor-memory.js';

// Shapes: R rows, P rows with padding, d hidden size, F hidden size of the network.

/**
 * Numbers of rows vary, and compiling for each number would take time and memory, so they are rounded up to a multiple of this.
 */
const ROWS_ROUNDED_TO = 32;
/**
 * Rows processed at a time, so that intermediate results stay in the caches, and products are compiled for few numbers of rows.
 */
const ROWS_AT_A_TIME = 128;

/** Rows are padded with zeros, which all products and activations keep, and which add nothing to the gradients. */
export class OneDnnNetwork implements FeedForwardNetwork {
  constructor(private readonly context: Context) {}

  forward(xTD: tf.Tensor2D, weights: FeedForwardWeights) {
    const { primitives, memory, type } = this.context;
    const [numRows, d] = xTD.shape;
    const { wIns, wOut } = partsOf(weights);
    const F = wOut.shape[0];
    const x = this.#padded(xTD);
    const before = wIns.map(() => memory.create([x.dims[0]!, F], type));
    const y = this.#firstRows(numRows, d, (into) =>
      this.#withAll(weights, (operands) =>
        memory.borrow([ROWS_AT_A_TIME, F], type, (scratch) => {
          const matrices = partsOf(operands);
          for (const place of chunksOf(x.dims[0]!, ROWS_AT_A_TIME)) {
            const hidden = rowsOf(scratch, { begin: 0, count: place.count });
            const ofBefore = before.map((each) => rowsOf(each, place));
            for (const [i, wIn] of matrices.wIns.entries())
              primitives.product(rowsOf(x, place), wIn, ofBefore[i]!);
            activation(primitives, ofBefore, hidden);
            primitives.product(hidden, matrices.wOut, rowsOf(into, place));
          }
        }),
      ),
    );
    return { y, saved: [x.tensor, ...before.map(({ tensor }) => tensor)] };
  }

  backward(dyTD: tf.Tensor2D, weights: FeedForwardWeights, [, ...saved]: readonly tf.Tensor[]) {
    const { primitives, memory, type } = this.context;
    const [numRows, d] = dyTD.shape;
    const before = saved.map((each) => memory.operandOf(each));
    const dy = this.#padded(dyTD);
    const { dims } = before[0]!;
    const hidden = memory.create(dims, type);
    const dBefore = before.map(() => memory.create(dims, type));
    const dx = this.#firstRows(numRows, d, (into) =>
      this.#withAll(weights, (operands) => {
        const { wIns, wOut } = partsOf(operands);
        for (const place of chunksOf(dims[0]!, ROWS_AT_A_TIME)) {
          const [ofBefore, gradients] = mapTuple([before, dBefore], (all) =>
            all.map((each) => rowsOf(each, place)),
          );
          // The gradient of the hidden units is stored where the gradient of the last product will be.
          primitives.product(rowsOf(dy, place), transposed(wOut), gradients.at(-1)!);
          activationBackward(primitives, ofBefore, rowsOf(hidden, place), gradients);
          for (const [i, wIn] of wIns.entries())
            primitives.product(gradients[i]!, transposed(wIn), rowsOf(into, place), { accumulate: i > 0 });
        }
      }),
    );
    return { dx, kept: [...dBefore.map(({ tensor }) => tensor), hidden.tensor, dy.tensor] };
  }

  gradients(pieces: readonly FeedForwardPiece[], weights: FeedForwardWeights): (tf.Tensor | undefined)[] {
    const { wIns, wOut } = partsOf(weights);
    const counts = pieces.map(({ dyTD }) => dyTD.shape[0]);
    const all = (of: (piece: FeedForwardPiece) => tf.Tensor) => this.#join(pieces.map(of), counts);
    const keptBy = (i: number) => all(({ kept }) => kept[i]!);
    return [
      ...wIns.map((wIn, i) =>
        ifWanted(wIn, () =>
          this.context.gradient(
            wIn,
            all(({ saved }) => saved[0]!),
            keptBy(i),
          ),
        ),
      ),
      ifWanted(wOut, () => this.context.gradient(wOut, keptBy(wIns.length), keptBy(wIns.length + 1))),
    ];
  }

  /** Passes matrices as operands of products to `use`; they are valid only during the call. */
  #withAll<T>(matrices: readonly tf.Tensor[], use: (operands: readonly Operand[]) => T): T {
    const [first, ...others] = matrices;
    if (first === undefined) return use([]);
    return this.context.with(first, (operand) => this.#withAll(others, (rest) => use([operand, ...rest])));
  }

  /** Pads rows, [R, d] -> [P, d], as operands of products. */
  #padded(rowsRD: tf.Tensor2D): OwnTensor {
    const { primitives, memory, type } = this.context;
    const [numRows, width] = rowsRD.shape;
    if (type === 'float32' && numRows === roundUp(numRows))
      return { tensor: rowsRD, ...memory.operandOf(rowsRD) };
    const padded = memory.create([roundUp(numRows), width], type);
    primitives.copy(memory.operandOf(rowsRD), rowsOf(padded, { begin: 0, count: numRows }));
    padded.values.fill(0, numRows * width);
    return padded;
  }

  /** Computes [P, d] and returns the first R rows, [R, d]. */
  #firstRows(numRows: number, d: number, compute: (into: Operand) => void): tf.Tensor2D {
    const { memory } = this.context;
    const y = memory.create([numRows, d]);
    if (numRows === roundUp(numRows)) compute(y);
    else
      memory.borrow([roundUp(numRows), d], 'float32', (padded) => {
        compute(padded);
        y.values.set(padded.values.subarray(0, numRows * d));
      });
    return y.tensor as tf.Tensor2D;
  }

  /** Concatenates the rows of all pieces; the sum over them then has the same bits as without pieces. */
  #join(pieces: readonly tf.Tensor[], counts: readonly number[]): Operand {
    const { memory, type } = this.context;
    if (pieces.length === 1) return memory.operandOf(pieces[0]!);
    const numRows = counts.reduce((sum, count) => sum + count, 0);
    const width = pieces[0]!.shape[1]!;
    const joined = memory.create([roundUp(numRows), width], type);
    let at = 0;
    pieces.forEach((piece, i) => {
      joined.values.set(memory.operandOf(piece).values.subarray(0, counts[i]! * width), at);
      at += counts[i]! * width;
    });
    joined.values.fill(0, at);
    return joined;
  }
}

function roundUp(numRows: number): number {
  return Math.ceil(numRows / ROWS_ROUNDED_TO) * ROWS_ROUNDED_TO;
}
