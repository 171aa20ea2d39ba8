import * as tf from '@tensorflow/tfjs-node';
import { describe, expect, it } from 'vitest';
import { Communicator } from '../../../src/collectives/communicator.js';
import { soloTransport } from '../../../src/collectives/solo-transport.js';
import { topologyOf } from '../../../src/collectives/topology.js';
import type { RowLayout } from '../../../src/model/dispatch/all-to-all-rows.js';
import {
  combine,
  dispatch,
  dispatchLayout,
  type KeptChoices,
  localityOf,
} from '../../../src/model/dispatch/dispatch-layout.js';
import { gatherRows, scatterRows } from '../../../src/ops/operations.js';
import { contiguousPlacement, givenPlacement } from '../../../src/routing/groups/expert-placement.js';
import { expectClose, randomIntegers, randomValues } from '../support.js';

/** Keeps the first `capacity` choices of each expert. */
function decide(chosenTK: Int32Array, numChoices: number, numExperts: number, capacity: number): KeptChoices {
  const keptE = new Int32Array(numExperts);
  const expertsTK = chosenTK.map((expert) => (expert >= 0 && keptE[expert]++ < capacity ? expert : -1));
  return { expertsTK, keptE: keptE.map((count) => Math.min(count, capacity)), numChoices };
}

const worlds = [
  { numExperts: 8, nodes: 1, workers: 1, ranksE: null },
  { numExperts: 8, nodes: 2, workers: 2, ranksE: null },
  { numExperts: 4, nodes: 2, workers: 2, ranksE: null },
  { numExperts: 2, nodes: 2, workers: 2, ranksE: null },
  { numExperts: 1, nodes: 1, workers: 2, ranksE: null },
  { numExperts: 8, nodes: 2, workers: 2, ranksE: [3, 0, 2, 1, 3, 2, 0, 1] },
];

describe.each(worlds)(
  '$numExperts experts, $nodes nodes of $workers, placed $ranksE',
  ({ numExperts, nodes, workers, ranksE }) => {
    const W = nodes * workers;
    const placement = ranksE === null ? contiguousPlacement(numExperts, W) : givenPlacement(ranksE);
    const numTokens = 23;
    const numChoices = 2;
    const decisions = Array.from({ length: W }, (_, rank) => {
      const chosen = randomIntegers(`choices of ${rank}`, numTokens * numChoices, numExperts + 1);
      return decide(
        chosen.map((expert) => expert - 1),
        numChoices,
        numExperts,
        6,
      );
    });
    const keptOfRank = decisions.map(({ keptE }) => keptE);
    const plans = decisions.map((decision, rank) =>
      dispatchLayout(decision, topologyOf(rank, nodes, workers), placement, keptOfRank),
    );

    /** What each rank receives if row i of rank s is the pair [s, choice of row i]. */
    function deliver(): [number, number][][] {
      const received = plans.map(({ received }) => Array<[number, number]>(received.numRows));
      plans.forEach(({ sent, scatter }, source) => {
        sent.rangesOfRank.forEach((ranges, to) => {
          const rows = rowsOf(ranges).map((row): [number, number] => [source, scatter.choicesN[row]]);
          const places = rowsOf(plans[to].received.rangesOfRank[source]);
          expect(places).toHaveLength(rows.length);
          places.forEach((place, i) => {
            expect(received[to][place]).toBeUndefined();
            received[to][place] = rows[i];
          });
        });
      });
      return received;
    }

    it('delivers every kept choice once, grouped by expert, then source, then token', () => {
      const received = deliver();
      plans.forEach(({ rowsOfLocalExpert }, rank) => {
        const expected = placement
          .expertsOfRank(rank)
          .map((expert) =>
            decisions.flatMap(({ expertsTK }, source) =>
              placement.rankOfExpert(source, expert) === rank
                ? [...expertsTK.keys()]
                    .filter((choice) => expertsTK[choice] === expert)
                    .map((c) => [source, c])
                : [],
            ),
          );
        expect(received[rank]).toEqual(expected.flat());
        expect(rowsOfLocalExpert).toEqual(expected.map((rows) => rows.length));
      });
      const kept = keptOfRank.flatMap((keptE) => [...keptE]).reduce((sum, count) => sum + count, 0);
      expect(received.flat()).toHaveLength(kept);
    });

    it('counts how far choices are from their experts', () => {
      plans.forEach((_, rank) => {
        const topology = topologyOf(rank, nodes, workers);
        const expected = { sameWorker: 0, sameNode: 0, otherNode: 0 };
        for (const expert of decisions[rank].expertsTK) {
          if (expert < 0) continue;
          const to = placement.rankOfExpert(rank, expert);
          if (to === rank) expected.sameWorker++;
          else if (Math.floor(to / workers) === topology.node) expected.sameNode++;
          else expected.otherNode++;
        }
        expect(localityOf(decisions[rank].keptE, topology, placement)).toEqual(expected);
      });
    });
  },
);

function rowsOf(ranges: RowLayout['rangesOfRank'][number]): number[] {
  return ranges.flatMap(({ begin, count }) => Array.from({ length: count }, (_, i) => begin + i));
}

describe('dispatch and combine', () => {
  const context = { communicator: new Communicator(soloTransport(), 'flat'), layer: 0 };
  const [numTokens, d] = [9, 3];
  const values = randomValues('x', numTokens * d);
  const weights = randomValues('weights', numTokens);

  const roundTrip = (chosen: Int32Array) => {
    const decision = decide(chosen, 1, 4, 2);
    const layout = dispatchLayout(decision, context.communicator.topology, contiguousPlacement(4, 1), [
      decision.keptE,
    ]);
    const op = (x: tf.Tensor, w: tf.Tensor) => {
      const rows = dispatch(gatherRows(x as tf.Tensor2D, layout.scatter.tokensN), layout, context);
      return scatterRows(combine(rows, layout, context), w as tf.Tensor2D, layout.scatter);
    };
    const tensors = () => [tf.tensor2d(values, [numTokens, d]), tf.tensor2d(weights, [numTokens, 1])];
    const y = tf.tidy(() => op(tensors()[0], tensors()[1]).dataSync().slice());
    const [dx, dw] = tf.tidy(() =>
      tf
        .grads(op)(tensors())
        .map((gradient) => gradient.dataSync().slice()),
    );
    return { decision, y, dx, dw };
  };

  it('bring each kept token back scaled by its weight, and leave dropped ones at zero', () => {
    const { decision, y, dx, dw } = roundTrip(randomIntegers('chosen', numTokens, 4));
    const kept = Array.from(decision.expertsTK, (expert) => (expert < 0 ? 0 : 1));
    expect(kept).toContain(0);
    const scale = (i: number) => kept[Math.floor(i / d)] * weights[Math.floor(i / d)];
    expectClose(
      y,
      values.map((value, i) => value * scale(i)),
      1e-6,
    );
    expectClose(
      dx,
      values.map((_, i) => scale(i)),
      1e-6,
    );
    const rowSums = kept.map((k, t) => k * (values[t * d] + values[t * d + 1] + values[t * d + 2]));
    expectClose(dw, rowSums, 1e-5);
  });

  it('work without a single choice, gradients too', () => {
    const { y, dx, dw } = roundTrip(new Int32Array(numTokens).fill(-1));
    for (const zeros of [y, dx, dw]) expect(zeros.every((value) => value === 0)).toBe(true);
  });
});
