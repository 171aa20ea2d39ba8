// A rank of the overlap bench: one expert, one sparse layer forward and backward. Started by
// measure-overlap.ts.

import { rankProgram } from '@locmoe/test-kit';
import { barrier } from 'locmoe/internal/collectives/barrier';
import { Communicator } from 'locmoe/internal/collectives/communicator';
import type { Transport } from 'locmoe/internal/collectives/transport';
import { scheduleChunks } from 'locmoe/internal/model/dispatch/chunk-schedule';
import { combine, dispatch, dispatchLayout } from 'locmoe/internal/model/dispatch/dispatch-layout';
import { overlappedExperts } from 'locmoe/internal/model/dispatch/overlapped';
import { feedForwards } from 'locmoe/internal/ops/feed-forward';
import { tf } from 'locmoe/internal/ops/tensorflow';
import { contiguousPlacement } from 'locmoe/internal/routing/groups/expert-placement';
import { timeOf } from '../statistics.js';

export interface OverlapArgs {
  /** Rows from each rank to the expert of each rank. */
  readonly rowsPerPair: number;
  readonly width: number;
  readonly hidden: number;
  readonly repetitions: number;
  readonly degrees: readonly number[];
}

/** Durations of the repetitions in ms. */
export interface OverlapTimes {
  /** Times of the expert without exchanges. */
  readonly compute: readonly number[];
  /** Times of dispatch, expert and combine in sequence. */
  readonly inTurn: readonly number[];
  /** Times with overlap, by degree. */
  readonly overlapped: readonly (readonly number[])[];
}

const WARM_UPS = 2;

rankProgram((transport: Transport, args: OverlapArgs): OverlapTimes => {
  const { rowsPerPair, width, hidden, repetitions, degrees } = args;
  const { topology } = transport;
  const { worldSize } = topology;
  const numRows = rowsPerPair * worldSize;
  const keptE = new Int32Array(worldSize).fill(rowsPerPair);
  const expertsTK = Int32Array.from({ length: numRows }, (_, row) => Math.floor(row / rowsPerPair));
  const keptOfRank = Array.from({ length: worldSize }, () => keptE);
  const layout = dispatchLayout(
    { expertsTK, numChoices: 1, keptE },
    topology,
    contiguousPlacement(worldSize, worldSize),
    keptOfRank,
  );
  const context = { communicator: new Communicator(transport, 'hierarchical'), layer: 0 };
  const inputs = [
    tf.randomNormal([numRows, width], 0, 1, 'float32', 1 + topology.rank),
    tf.randomNormal([width, hidden], 0, 0.05, 'float32', 98),
    tf.randomNormal([hidden, width], 0, 0.05, 'float32', 99),
  ];
  type Op = (...tensors: tf.Tensor[]) => tf.Tensor;
  const expert: Op = (x, wIn, wOut) =>
    feedForwards(x as tf.Tensor2D, [[wIn as tf.Tensor2D, wOut as tf.Tensor2D]], [x.shape[0]!]);
  const inTurn: Op = (x, wIn, wOut) =>
    combine(expert(dispatch(x as tf.Tensor2D, layout, context), wIn, wOut) as tf.Tensor2D, layout, context);
  const overlapped =
    (degree: number): Op =>
    (x, wIn, wOut) =>
      overlappedExperts(x as tf.Tensor2D, {
        ...context,
        sent: layout.sent,
        received: layout.received,
        countsHash: layout.countsHash,
        schedule: scheduleChunks(layout, topology, degree),
        weights: [[wIn as tf.Tensor2D, wOut as tf.Tensor2D]],
      });
  /** Returns views of the output and of the gradients of the inputs, valid until the enclosing tidy ends. */
  const run = (op: Op): Float32Array[] => {
    // The gradient is cloned because a backward pass disposes of the gradient that it receives.
    const { value, grads } = tf.valueAndGrads(op)(inputs, inputs[0]!.clone());
    return [value, ...grads].map((tensor) => tensor.dataSync<'float32'>());
  };
  // The callback of `tidy` returns nothing, as `tidy` would look for tensors in every element of a result.
  const inTidy = (compute: () => void): void => {
    tf.tidy(() => {
      compute();
    });
  };
  const timesOf = (op: Op): number[] => {
    const times = Array.from({ length: WARM_UPS + repetitions }, () => {
      barrier(transport, { purpose: 'start together' });
      return timeOf(() => {
        inTidy(() => {
          run(op);
        });
        barrier(transport, { purpose: 'all done' });
      });
    });
    return times.slice(WARM_UPS);
  };

  inTidy(() => {
    const expected = run(inTurn);
    for (const degree of degrees)
      for (const [i, values] of run(overlapped(degree)).entries())
        if (!values.every((value, j) => value === expected[i]![j]))
          throw new Error(`overlap of degree ${degree} gives another result than one after the other`);
  });
  return {
    compute: timesOf(expert),
    inTurn: timesOf(inTurn),
    overlapped: degrees.map((degree) => timesOf(overlapped(degree))),
  };
});
