import type { AllToAllOptions } from '../../collectives/all-to-all.js';
import type { Communicator, WirePrecision } from '../../collectives/communicator.js';
import { narrow, widen } from '../../ops/bfloat16.js';
import { fusedOp } from '../../ops/fused-op.js';
import { tf } from '../../ops/tensorflow.js';

// Shapes: N rows sent, R rows received, d hidden size.

/** Consecutive rows [begin, begin + count) of a tensor. */
export interface RowRange {
  readonly begin: number;
  readonly count: number;
}

/** The rows of a tensor that are sent to, or received from, each rank. */
export interface RowLayout {
  readonly numRows: number;
  readonly rangesOfRank: readonly (readonly RowRange[])[];
}

/** The communication context of a sparse layer. */
export interface LayerContext {
  readonly communicator: Communicator;
  /** Index among all layers of the model. */
  readonly layer: number;
}

export interface AllToAllRowsOptions extends LayerContext, Pick<AllToAllOptions, 'reach'> {
  readonly from: RowLayout;
  readonly to: RowLayout;
  /** Purposes of the forward and the backward all-to-all, for errors and statistics. */
  readonly purpose: { readonly forward: string; readonly backward: string };
  /** Hash of all ranks' counts, from which the layouts follow; the ranks check that it agrees. */
  readonly countsHash: number;
}

/**
 * Moves rows between ranks (all-to-all-v, no padding); the gradient is the reverse all-to-all. Every rank of
 * the world must take part in the forward and in the backward, also without rows.
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
  const { wirePrecision } = communicator;
  const width = rows.shape[1]!;
  const received = arriving(to.numRows * width, wirePrecision);
  // Not a copy but the tensor's memory, which is read before this function returns.
  const sent = from.numRows === 0 ? new Float32Array(0) : rows.dataSync<'float32'>();
  communicator.allToAll({
    sends: piecesOf(leaving(sent, wirePrecision), from, width),
    receives: piecesOf(received, to, width),
    ...{ purpose, layer, countsHash, reach },
  });
  return tf.tensor2d(arrived(received), [to.numRows, width]);
}

/** Numbers of rows as they travel. */
export type Travelling = Float32Array | Uint16Array;

/** As they are sent; also those that stay on this rank, so that the result does not depend on the layout. */
export function leaving(values: Float32Array, precision: WirePrecision): Travelling {
  return precision === 'float32' ? values : narrow(values);
}

/** Room for numbers that are received. */
export function arriving(length: number, precision: WirePrecision): Travelling {
  return precision === 'float32' ? new Float32Array(length) : new Uint16Array(length);
}

/** What was received. */
export function arrived(values: Travelling): Float32Array {
  return values instanceof Float32Array ? values : widen(values);
}

/** Views of each rank's ranges, as bytes. */
export function piecesOf(rows: Travelling, layout: RowLayout, width: number): Uint8Array[][] {
  const rowBytes = width * rows.BYTES_PER_ELEMENT;
  return layout.rangesOfRank.map((ranges) =>
    ranges
      .filter(({ count }) => count > 0)
      .map(
        ({ begin, count }) =>
          new Uint8Array(rows.buffer, rows.byteOffset + begin * rowBytes, count * rowBytes),
      ),
  );
}
