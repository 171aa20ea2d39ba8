import { ifWanted } from '../../gradient-target.js';
import type { tf } from '../../tensorflow.js';
import type { FeedForwardNetwork, FeedForwardPiece, FeedForwardWeights } from '../kernels.js';
import type { Context } from './context.js';
import { gelu, geluBackward } from './gelu.js';
import type { Operand } from './operand.js';
import { chunksOf, rowsOf, transposed } from './operand.js';
import type { OwnTensor } from './tensor-memory.js';

// Shapes: R rows, P rows with padding, d hidden size, F hidden size of the network.

/** Numbers of rows vary, and each is compiled for, which takes time and memory: they are rounded up to this. */
const ROWS_ROUNDED_TO = 32;
/** Rows at a time: intermediate results stay in the caches, and products are compiled for few numbers of rows. */
const ROWS_AT_A_TIME = 128;

/** Padding is of zeros, which stay zeros through all products and GELU, and add nothing to the gradients. */
export class OneDnnNetwork implements FeedForwardNetwork {
  constructor(private readonly context: Context) {}

  forward(xTD: tf.Tensor2D, { wInDF, wOutFD }: FeedForwardWeights) {
    const { primitives, memory, type } = this.context;
    const [numRows, d] = xTD.shape;
    const F = wInDF.shape[1];
    const x = this.#padded(xTD);
    const before = memory.create([x.dims[0]!, F], type);
    const y = this.#firstRows(numRows, d, (into) =>
      this.context.with(wInDF, (wIn) =>
        this.context.with(wOutFD, (wOut) =>
          memory.borrow([ROWS_AT_A_TIME, F], type, (scratch) => {
            for (const place of chunksOf(x.dims[0]!, ROWS_AT_A_TIME)) {
              const hidden = rowsOf(scratch, { begin: 0, count: place.count });
              primitives.product(rowsOf(x, place), wIn, rowsOf(before, place));
              gelu(primitives, rowsOf(before, place), hidden);
              primitives.product(hidden, wOut, rowsOf(into, place));
            }
          }),
        ),
      ),
    );
    return { y, saved: [x.tensor, before.tensor] };
  }

  backward(dyTD: tf.Tensor2D, { wInDF, wOutFD }: FeedForwardWeights, saved: readonly tf.Tensor[]) {
    const { primitives, memory, type } = this.context;
    const [numRows, d] = dyTD.shape;
    const before = memory.operandOf(saved[1]!);
    const dy = this.#padded(dyTD);
    const hidden = memory.create(before.dims, type);
    const dBefore = memory.create(before.dims, type);
    const dx = this.#firstRows(numRows, d, (into) =>
      this.context.with(wInDF, (wIn) =>
        this.context.with(wOutFD, (wOut) => {
          for (const place of chunksOf(before.dims[0]!, ROWS_AT_A_TIME)) {
            const [ofBefore, gradient] = [rowsOf(before, place), rowsOf(dBefore, place)];
            primitives.product(rowsOf(dy, place), transposed(wOut), gradient);
            geluBackward(primitives, ofBefore, gradient, { y: rowsOf(hidden, place), dx: gradient });
            primitives.product(gradient, transposed(wIn), rowsOf(into, place));
          }
        }),
      ),
    );
    return { dx, kept: [dBefore.tensor, hidden.tensor, dy.tensor] };
  }

  gradients(
    pieces: readonly FeedForwardPiece[],
    { wInDF, wOutFD }: FeedForwardWeights,
  ): [tf.Tensor | undefined, tf.Tensor | undefined] {
    const counts = pieces.map(({ dyTD }) => dyTD.shape[0]);
    const all = (of: (piece: FeedForwardPiece) => tf.Tensor) => this.#join(pieces.map(of), counts);
    const keptBy = (i: number) => all(({ kept }) => kept[i]!);
    return [
      ifWanted(wInDF, () =>
        this.context.gradient(
          wInDF,
          all(({ saved }) => saved[0]!),
          keptBy(0),
        ),
      ),
      ifWanted(wOutFD, () => this.context.gradient(wOutFD, keptBy(1), keptBy(2))),
    ];
  }

  /** [R, d] -> [P, d], as operands of products. */
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

  /** Computes [P, d], of which [R, d] stay. */
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

  /** The rows of all pieces as of one: the sum over them has the same bits. */
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
