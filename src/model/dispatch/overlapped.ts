import type { AllToAllOptions } from '../../collectives/all-to-all.js';
import { fusedOp } from '../../ops/fused-op.js';
import { gatherRows } from '../../ops/gather-rows.js';
import { gelu, geluBackward } from '../../ops/gelu.js';
import { narrowingGradient, product, rowsProduct, transposedMatrix } from '../../ops/mat-mul.js';
import { scatterRows } from '../../ops/scatter-rows.js';
import { tf } from '../../ops/tensorflow.js';
import { type LayerContext, piecesOf, type RowLayout } from './all-to-all-rows.js';
import { type Chunk, type ChunkSchedule, type ExpertRows, scheduleChunks } from './chunk-schedule.js';
import { dispatchLayout } from './dispatch-layout.js';
import type { Dispatcher, ExpertWeights } from './dispatcher.js';

// Shapes: N rows of this rank's tokens, R rows received, r rows of an ExpertRows, d hidden size, F hidden
// size of an expert.

/** Overlaps rows of other nodes, in `degree` chunks, with the experts' computation. */
export function overlapped(context: LayerContext, degree: number): Dispatcher {
  const { topology } = context.communicator;
  return (xTD, decision, experts) => {
    const layout = dispatchLayout(decision, topology, decision.keptOfRank);
    const outputsND = overlappedExperts(gatherRows(xTD, layout.scatter.tokensN), {
      ...context,
      ...{ sent: layout.sent, received: layout.received, countsHash: layout.countsHash },
      schedule: scheduleChunks(layout, topology, degree),
      weights: experts.weights(),
    });
    return scatterRows(outputsND, decision.weightsTK, layout.scatter);
  };
}

export interface OverlappedExpertsOptions extends LayerContext {
  readonly schedule: ChunkSchedule;
  /** Rows that this rank sends (N) and receives (R). */
  readonly sent: RowLayout;
  readonly received: RowLayout;
  /** In the order of the schedule's experts. */
  readonly weights: readonly ExpertWeights[];
  readonly countsHash: number;
}

/**
 * Dispatch, experts and combine of a sparse layer as one operation, in which rows travel between nodes while
 * experts compute on others, forward and backward (pipelining as in Tutel, arXiv 2206.03382, section 3.3, but
 * in chunks by source instead of equal ones). Same bits as the three in turn: a row's result does not depend
 * on its batch, and the weights' gradients are computed from all rows at once, in the same order.
 *
 * @param rowsND [N, d], laid out by `sent`
 * @returns expert outputs [N, d], in the same order
 */
export function overlappedExperts(rowsND: tf.Tensor2D, options: OverlappedExpertsOptions): tf.Tensor2D {
  const { weights } = options;
  const inputs = [rowsND, ...weights.flatMap(({ wInDF, wOutFD }) => [wInDF, wOutFD])];
  return fusedOp(inputs, () => {
    const done: Done[] = [];
    const trip = roundTrip(rowsND, ['dispatch', 'combine'], options, (rows, xRD) => {
      const { wInDF, wOutFD } = weights[rows.expert];
      const before = rowsProduct(xRD, wInDF);
      done.push({ ...rows, before });
      return rowsProduct(gelu(before), wOutFD);
    });
    const width = rowsND.shape[1];
    const xRD = tf.tensor2d(trip.received, [options.received.numRows, width]);
    return {
      value: trip.home(),
      saved: [xRD, ...done.map(({ before }) => before)],
      backward: (dyND, [savedX, ...befores]) =>
        backward(
          dyND,
          savedX,
          done.map((rows, i) => ({ ...rows, before: befores[i] })),
          options,
        ),
    };
  });
}

interface Done extends ExpertRows {
  /** Input of GELU, [r, F]. */
  readonly before: tf.Tensor;
}

function backward(
  dyND: tf.Tensor,
  xRD: tf.Tensor,
  forward: readonly Done[],
  options: OverlappedExpertsOptions,
): tf.Tensor[] {
  const { weights, received } = options;
  const geluGradients = new Map<number, { readonly dBefore: tf.Tensor; readonly hidden: tf.Tensor }>();
  const purposes = ['combine gradient', 'dispatch gradient'] as const;
  // Transposed once: TensorFlow would repack a transposed operand for each product, which takes longer than
  // the product with its few rows. Same bits.
  const transposes = new Map<number, readonly [wOutDF: tf.Tensor, wInFD: tf.Tensor]>();
  const transposesOf = (expert: number) => {
    const { wInDF, wOutFD } = weights[expert];
    const both = transposes.get(expert) ?? ([transposedMatrix(wOutFD), transposedMatrix(wInDF)] as const);
    transposes.set(expert, both);
    return both;
  };
  const trip = roundTrip(dyND, purposes, options, ({ expert, begin }, dyRD) => {
    const [wOutDF, wInFD] = transposesOf(expert);
    const { before } = forward.find((rows) => rows.begin === begin)!;
    const [dBefore, hidden] = geluBackward(rowsProduct(dyRD, wOutDF), before);
    geluGradients.set(begin, { dBefore, hidden });
    return rowsProduct(dBefore, wInFD);
  });
  // The weights' gradients are computed while the last rows travel.
  const inOrder = [...forward].sort((a, b) => a.begin - b.begin);
  const dyRD = tf.tensor2d(trip.received, [received.numRows, dyND.shape[1]!]);
  const gradients = weights.flatMap(({ wInDF, wOutFD }, expert) => {
    const own = inOrder.filter((rows) => rows.expert === expert);
    if (own.length === 0) return [tf.zerosLike(wInDF), tf.zerosLike(wOutFD)];
    const begin = own[0].begin;
    const count = own.reduce((sum, rows) => sum + rows.count, 0);
    const ofOwn = own.map((rows) => geluGradients.get(rows.begin)!);
    const dBefore = join(ofOwn.map((gradient) => gradient.dBefore));
    const hidden = join(ofOwn.map((gradient) => gradient.hidden));
    return [
      product(tf.slice(xRD as tf.Tensor2D, begin, count), dBefore, true),
      narrowingGradient(hidden, tf.slice(dyRD, begin, count)),
    ];
  });
  return [trip.home(), ...gradients];
}

function join(parts: readonly tf.Tensor[]): tf.Tensor {
  return parts.length === 1 ? parts[0] : tf.concat([...parts], 0);
}

interface RoundTrip {
  /** [R, d], complete when `roundTrip` returns. */
  readonly received: Float32Array;
  /** Waits for the last results, [N, d]. */
  readonly home: () => tf.Tensor2D;
}

/**
 * Sends rows to their experts, runs `work` on them as they arrive, and sends the results back.
 *
 * @param work [r, d] -> [r, d]
 */
function roundTrip(
  rowsND: tf.Tensor,
  [outward, homeward]: readonly [string, string],
  options: OverlappedExpertsOptions,
  work: (rows: ExpertRows, xRD: tf.Tensor2D) => tf.Tensor2D,
): RoundTrip {
  const { schedule, sent, received, communicator, layer, countsHash } = options;
  const width = rowsND.shape[1]!;
  const outgoing = sent.numRows === 0 ? new Float32Array(0) : rowsND.dataSync<'float32'>();
  const arrived = new Float32Array(received.numRows * width);
  const results = new Float32Array(received.numRows * width);
  const home = new Float32Array(sent.numRows * width);
  const send = (chunk: Chunk, purpose: string, reach: AllToAllOptions['reach']) =>
    communicator.startAllToAll({
      sends: piecesOf(outgoing, chunk.sent, width),
      receives: piecesOf(arrived, chunk.received, width),
      ...{ purpose, layer, countsHash, reach },
    });
  const sendBack = (chunk: Chunk, purpose: string, reach: AllToAllOptions['reach']) =>
    communicator.startAllToAll({
      sends: piecesOf(results, chunk.received, width),
      receives: piecesOf(home, chunk.sent, width),
      ...{ purpose, layer, countsHash, reach },
    });
  const workOn = (pieces: readonly ExpertRows[]) => {
    for (const rows of pieces) {
      const { begin, count } = rows;
      const xRD = tf.tensor2d(arrived.subarray(begin * width, (begin + count) * width), [count, width]);
      results.set(work(rows, xRD).dataSync<'float32'>(), begin * width);
    }
  };

  const coming = schedule.remote.map((chunk) => send(chunk, outward, 'other nodes'));
  send(schedule.local, outward, 'node').finish();
  workOn(schedule.first);
  const leaving = schedule.remote.map((chunk, i) => {
    coming[i].finish();
    workOn(chunk.work);
    return sendBack(chunk, homeward, 'other nodes');
  });
  workOn(schedule.last);
  const local = sendBack(schedule.local, homeward, 'node');
  return {
    received: arrived,
    home: () => {
      for (const transfer of [local, ...leaving]) transfer.finish();
      return tf.tensor2d(home, [sent.numRows, width]);
    },
  };
}
