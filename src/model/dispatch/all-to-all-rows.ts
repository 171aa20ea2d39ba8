import * as tf from '@tensorflow/tfjs-node';
import type { AllToAllOptions } from '../../collectives/all-to-all.js';
import type { Communicator } from '../../collectives/communicator.js';
import { fusedOp } from '../../ops/fused-op.js';

// Shapes: N rows sent, R rows received, d hidden size.

/** Consecutive rows [begin, begin + count) of a tensor. */
export interface RowRange {
  readonly begin: number;
  readonly count: number;
}

/** Which rows of a tensor belong to which rank: for each rank, in order, the ranges it sends or receives. */
export interface RowLayout {
  readonly numRows: number;
  readonly rangesOfRank: readonly (readonly RowRange[])[];
}

/** What the exchanges of a sparse layer have in common. */
export interface LayerContext {
  readonly communicator: Communicator;
  /** Index among all layers of the model. */
  readonly layer: number;
}

export interface AllToAllRowsOptions extends LayerContext, Pick<AllToAllOptions, 'reach'> {
  readonly from: RowLayout;
  readonly to: RowLayout;
  /** Names the exchange of the forward and that of the backward in errors and statistics. */
  readonly purpose: { readonly forward: string; readonly backward: string };
  /** Hash of the counts of all ranks that the layouts come from; the ranks check that they go by the same. */
  readonly countsHash: number;
}

/**
 * Moves rows between ranks (all-to-all-v, no padding); the gradient makes the reverse exchange. Every rank of the
 * world must take part, also with no rows, in the forward and in the backward.
 *
 * @param rowsND [N, d], laid out by `from`
 * @returns [R, d], laid out by `to`
 */
export function allToAllRows(rowsND: tf.Tensor2D, options: AllToAllRowsOptions): tf.Tensor2D {
  const { from, to, purpose } = options;
  return fusedOp([rowsND], () => ({
    value: move(rowsND, from, to, purpose.forward, options),
    saved: [],
    backward: (dyRD) => [move(dyRD, to, from, purpose.backward, options)],
  }));
}

function move(
  rows: tf.Tensor,
  from: RowLayout,
  to: RowLayout,
  purpose: string,
  { communicator, layer, countsHash, reach }: AllToAllRowsOptions,
): tf.Tensor2D {
  const width = rows.shape[1]!;
  const received = new Float32Array(to.numRows * width);
  // No copy: TensorFlow's own memory, read before this function returns.
  const sent = from.numRows === 0 ? new Float32Array(0) : rows.dataSync<'float32'>();
  const sends = piecesOf(sent, from, width);
  communicator.allToAll({
    sends,
    receives: piecesOf(received, to, width),
    ...{ purpose, layer, countsHash, reach },
  });
  return tf.tensor2d(received, [to.numRows, width]);
}

/** The bytes of each rank's ranges. */
export function piecesOf(rows: Float32Array, layout: RowLayout, width: number): Uint8Array[][] {
  const rowBytes = width * Float32Array.BYTES_PER_ELEMENT;
  return layout.rangesOfRank.map((ranges) =>
    ranges
      .filter(({ count }) => count > 0)
      .map(
        ({ begin, count }) =>
          new Uint8Array(rows.buffer, rows.byteOffset + begin * rowBytes, count * rowBytes),
      ),
  );
}
