import type { AllToAllOptions } from '../../collectives/all-to-all.js';
import type { Communicator, WirePrecision } from '../../collectives/communicator.js';
import { alias, fusedOp } from '../../ops/autograd.js';
import { kernels } from '../../ops/kernels/choose-kernels.js';
import type { tf } from '../../ops/tensorflow.js';

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
 * the world must take part in the forward and in the backward pass, even without rows.
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
  if (wirePrecision === 'float32' && isInOrder(from, rows) && isInOrder(to, rows)) {
    // The operation is counted like any other, though its rows stay in the memory where they are.
    communicator.allToAll({ sends: [[]], receives: [[]], purpose, layer, countsHash, reach });
    return alias(rows) as tf.Tensor2D;
  }
  const width = rows.shape[1]!;
  const { tensor, received, finish } = arriving([to.numRows, width], wirePrecision);
  // This is the tensor's memory, not a copy; it is read before this function returns.
  const sent = from.numRows === 0 ? new Float32Array(0) : rows.dataSync<'float32'>();
  communicator.allToAll({
    sends: piecesOf(leaving(sent, wirePrecision), from, width),
    receives: piecesOf(received, to, width),
    purpose,
    layer,
    countsHash,
    reach,
  });
  finish();
  return tensor;
}

/** Tells whether a layout has all rows of a tensor in their order, for the only rank. */
function isInOrder({ rangesOfRank, numRows }: RowLayout, rows: tf.Tensor): boolean {
  if (rangesOfRank.length !== 1 || numRows !== rows.shape[0]) return false;
  let end = 0;
  for (const { begin, count } of rangesOfRank[0]!) {
    if (begin !== end) return false;
    end += count;
  }
  return end === numRows;
}

/** Elements of rows in the format in which they are sent. */
export type Travelling = Float32Array | Uint16Array;

/**
 * Converts rows to the precision of the wire, even rows that stay on this rank, so that the result does not depend on the layout.
 */
export function leaving(values: Float32Array, precision: WirePrecision): Travelling {
  if (precision === 'float32') return values;
  const narrowed = new Uint16Array(values.length);
  kernels().narrow(values, narrowed);
  return narrowed;
}

/** Allocates a receive buffer of `length` values. */
export function roomFor(length: number, precision: WirePrecision): Travelling {
  return precision === 'float32' ? new Float32Array(length) : new Uint16Array(length);
}

interface Arriving {
  readonly tensor: tf.Tensor2D;
  /** Buffer that receives the bytes. */
  readonly received: Travelling;
  /** Completes the tensor; must be called once all rows have arrived, before the tensor is used. */
  readonly finish: () => void;
}

/** Creates a tensor whose rows are to be received. */
export function arriving(shape: readonly [number, number], precision: WirePrecision): Arriving {
  const { tensor, values } = kernels().create(shape);
  const tensor2d = tensor as tf.Tensor2D;
  if (precision === 'float32') return { tensor: tensor2d, received: values, finish() {} };
  const received = new Uint16Array(values.length);
  return { tensor: tensor2d, received, finish: () => kernels().widen(received, values) };
}

/** Returns views of each rank's ranges, as bytes. */
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
