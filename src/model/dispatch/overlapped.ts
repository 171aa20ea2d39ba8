import type { AllToAllOptions } from '../../collectives/all-to-all.js';
import { consume, fusedOp } from '../../ops/autograd.js';
import { splitAs } from '../../ops/feed-forward.js';
import { kernels } from '../../ops/kernels/choose-kernels.js';
import type { FeedForwardNetwork, FeedForwardPiece, FeedForwardWeights } from '../../ops/kernels/kernels.js';
import { gatherRows, scatterRows } from '../../ops/operations.js';
import type { tf } from '../../ops/tensorflow.js';
import {
  arriving,
  type LayerContext,
  leaving,
  piecesOf,
  type RowLayout,
  roomFor,
} from './all-to-all-rows.js';
import { type Chunk, type ChunkSchedule, type ExpertRows, scheduleChunks } from './chunk-schedule.js';
import { dispatchLayout } from './dispatch-layout.js';
import type { DispatchContext, Dispatcher } from './dispatcher.js';

// Shapes: N rows of this rank's tokens, R rows received, r rows of an ExpertRows, d hidden size, F hidden size of an expert.

/** Overlaps rows of other nodes, in `degree` chunks, with the experts' computation. */
export function overlapped(context: DispatchContext, degree: number): Dispatcher {
  const { topology } = context.communicator;
  return (xTD, decision, experts) => {
    const layout = dispatchLayout(decision, topology, context.placement, decision.keptOfRank);
    const rowsND = gatherRows(xTD, layout.scatter.tokensN);
    const outputsND = consume(
      [rowsND],
      overlappedExperts(rowsND, {
        ...context,
        sent: layout.sent,
        received: layout.received,
        countsHash: layout.countsHash,
        schedule: scheduleChunks(layout, topology, degree),
        weights: experts.weights(layout.rowsOfLocalExpert),
      }),
    );
    return consume([outputsND], scatterRows(outputsND, decision.weightsTK, layout.scatter));
  };
}

export interface OverlappedExpertsOptions extends LayerContext {
  readonly schedule: ChunkSchedule;
  /** Rows that this rank sends (N) and receives (R). */
  readonly sent: RowLayout;
  readonly received: RowLayout;
  /** Weights in the order of the schedule's experts; null for experts without rows. */
  readonly weights: readonly (FeedForwardWeights | null)[];
  readonly countsHash: number;
}

/**
 * Runs dispatch, experts and combine of a sparse layer as one operation, in which rows travel while experts compute on
 * other rows, forward and backward (pipelining as in Tutel, arXiv 2206.03382, section 3.3, but in chunks by source).
 * The result has the same bits as if the three steps ran one after the other: a row's result does not depend on its
 * batch, and the weights' gradients are computed from all rows at once, in the same order.
 *
 * @param rowsND [N, d], laid out by `sent`
 * @returns expert outputs [N, d], in the same order
 */
export function overlappedExperts(rowsND: tf.Tensor2D, options: OverlappedExpertsOptions): tf.Tensor2D {
  const { weights } = options;
  const matrices = weights.flatMap((each) => each ?? []);
  return fusedOp([rowsND, ...matrices], () => {
    const networks = weights.map(() => kernels().network('in pieces'));
    const done: Done[] = [];
    const results = roundTrip(rowsND, FORWARD, options, (rows, xRD) => {
      const { y, saved } = networks[rows.expert]!.forward(xRD, weights[rows.expert]!);
      done.push({ ...rows, saved });
      return y;
    });
    return {
      value: results(),
      saved: [...matrices, ...done.flatMap(({ saved }) => saved)],
      backward: (dyND, allSaved) => {
        const saved = splitAs(
          weights.map((each) => each ?? []),
          allSaved,
        ) as FeedForwardWeights[];
        const kept = weights.map((each, i) => each && saved[i]!);
        const savedOf = splitAs(
          done.map((rows) => rows.saved),
          allSaved.slice(matrices.length),
        );
        const forward = done.map((rows, i) => ({ ...rows, saved: savedOf[i]! }));
        return backward(dyND, forward, networks, { ...options, weights: kept });
      },
    };
  });
}

interface Done extends ExpertRows {
  /** Tensors that the backward pass of these rows needs. */
  readonly saved: readonly tf.Tensor[];
}

function backward(
  dyND: tf.Tensor,
  forward: readonly Done[],
  networks: readonly FeedForwardNetwork[],
  options: OverlappedExpertsOptions,
): (tf.Tensor | undefined)[] {
  const pieces = new Map<number, FeedForwardPiece>();
  const results = roundTrip(dyND, BACKWARD, options, ({ expert, begin }, dyTD) => {
    const { saved } = forward.find((rows) => rows.begin === begin)!;
    const { dx, kept } = networks[expert]!.backward(dyTD, options.weights[expert]!, saved);
    pieces.set(begin, { dyTD, saved, kept });
    return dx;
  });
  // The weights' gradients are computed while the last rows are in flight.
  const inOrder = [...forward].sort((a, b) => a.begin - b.begin);
  const gradients = options.weights.flatMap((weights, expert) => {
    if (weights === null) return [];
    const own = inOrder.filter((rows) => rows.expert === expert);
    return networks[expert]!.gradients(
      own.map(({ begin }) => pieces.get(begin)!),
      weights,
    );
  });
  return [results(), ...gradients];
}

/** Labels of the outbound and the return all-to-all: purpose, and part of the step. */
type Ways = readonly [out: Way, home: Way];
interface Way {
  readonly purpose: string;
  readonly part: string;
}
const FORWARD: Ways = [
  { purpose: 'dispatch', part: 'dispatch' },
  { purpose: 'combine', part: 'combine' },
];
const BACKWARD: Ways = [
  { purpose: 'combine gradient', part: 'combine' },
  { purpose: 'dispatch gradient', part: 'gate' },
];

/**
 * Sends rows to their experts, runs `work` on them as they arrive, and sends the results back.
 *
 * @param work [r, d] -> [r, d]
 * @returns function that waits for the last results and returns them all, [N, d]
 */
function roundTrip(
  rowsND: tf.Tensor,
  [out, home]: Ways,
  options: OverlappedExpertsOptions,
  work: (rows: ExpertRows, xRD: tf.Tensor2D) => tf.Tensor2D,
): () => tf.Tensor2D {
  const { schedule, sent, received, communicator, layer, countsHash } = options;
  const width = rowsND.shape[1]!;
  const { wirePrecision } = communicator;
  const rows = sent.numRows === 0 ? new Float32Array(0) : rowsND.dataSync<'float32'>();
  const outgoing = leaving(rows, wirePrecision);
  const incoming = roomFor(received.numRows * width, wirePrecision);
  const results = roomFor(received.numRows * width, wirePrecision);
  const atHome = arriving([sent.numRows, width], wirePrecision);
  const start = (
    sends: Uint8Array[][],
    receives: Uint8Array[][],
    purpose: string,
    reach: AllToAllOptions['reach'],
  ) => communicator.startAllToAll({ sends, receives, purpose, layer, countsHash, reach });
  const send = ({ sent, received }: Chunk, reach: AllToAllOptions['reach']) =>
    start(piecesOf(outgoing, sent, width), piecesOf(incoming, received, width), out.purpose, reach);
  const sendBack = ({ sent, received }: Chunk, reach: AllToAllOptions['reach']) =>
    start(piecesOf(results, received, width), piecesOf(atHome.received, sent, width), home.purpose, reach);
  const { spans } = communicator;
  const workOn = (pieces: readonly ExpertRows[]) => {
    spans.next('experts', layer);
    for (const rows of pieces) {
      const { begin, count } = rows;
      const x = kernels().create([count, width]);
      const part = incoming.subarray(begin * width, (begin + count) * width);
      if (part instanceof Float32Array) x.values.set(part);
      else kernels().widen(part, x.values);
      const y = work(rows, x.tensor as tf.Tensor2D);
      results.set(leaving(y.dataSync<'float32'>(), wirePrecision), begin * width);
    }
  };

  spans.next(out.part, layer);
  const coming = schedule.remote.map((chunk) => send(chunk, 'other nodes'));
  send(schedule.local, 'node').finish();
  workOn(schedule.first);
  const onTheWay = schedule.remote.map((chunk, i) => {
    spans.next(out.part, layer);
    coming[i]!.finish();
    workOn(chunk.work);
    return sendBack(chunk, 'other nodes');
  });
  workOn(schedule.last);
  const local = sendBack(schedule.local, 'node');
  return () => {
    spans.next(home.part, layer);
    for (const transfer of [local, ...onTheWay]) transfer.finish();
    atHome.finish();
    return atHome.tensor;
  };
}
