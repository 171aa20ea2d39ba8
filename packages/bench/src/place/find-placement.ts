import { nodeOf } from 'locmoe/internal/collectives/topology';
import type { RunConfig } from 'locmoe/internal/config/schema';
import { rowBytesOf } from 'locmoe/internal/config/wire-precision';
import { CounterRandom } from 'locmoe/internal/parameters/counter-random';
import { bytePrices, type PlanInput } from '../plan/predict.js';
import { sum } from '../statistics.js';
import { layersOf, type PlacedLayer, type Placement, WAYS_OF_ROW, withPlacement } from './assess.js';
import { costOfAssignment } from './assign.js';
import { type BoundedProblem, boundedAssignment } from './bounded.js';
import type { RouteCounts } from './counts.js';

// W ranks, E experts.

export interface FoundPlacement {
  readonly placement: NonNullable<Placement>;
  /** Time for the rows of a step according to the planner's prices of bytes, in ms. */
  readonly costMs: number;
  /** Lower bound: with the sequences on the same ranks, no placement within the limit costs less. */
  readonly boundMs: number;
  /** Upper limit of a rank's load divided by the mean, in every layer. */
  readonly limit: number;
}

/**
 * A placement may move the sequences that follow their experts, after which another placement may be better.
 */
const ROUNDS = 6;
/** A calibration may find that bytes are free; it is still better not to move them. */
const LEAST_PRICES = { sameNode: 1e-13, otherNode: 1e-12 };

/**
 * Finds the placement that moves the fewest bytes, weighted by their price, with a bounded load of each rank.
 */
export function findPlacement(input: PlanInput, counts: RouteCounts, maxLoad: number): FoundPlacement {
  const { config } = input;
  const problemsOf = (layers: readonly PlacedLayer[]) =>
    layers.map((layer) => problemOf(input, layer, maxLoad));
  let layers = layersOf(config, counts);
  let problems = problemsOf(layers);
  let best: FoundPlacement | null = null;
  for (let round = 0; round < ROUNDS; round++) {
    const found = problems.map(boundedAssignment);
    const placement = placementOn(config, layers, found);
    const limit = Math.max(...found.map((each) => each.limit));
    const moved = layersOf(withPlacement(config, placement), counts);
    const isSettled = moved.every(({ rowsWE }, i) => isSame(rowsWE, layers[i]!.rowsWE));
    layers = moved;
    const after = isSettled ? problems : problemsOf(layers);
    const solved = isSettled ? found : after.map(boundedAssignment);
    const costMs = sum(after.map((problem, i) => costOfAssignment(problem, layers[i]!.rankE)));
    if (best === null || costMs < best.costMs)
      best = { placement, costMs, boundMs: Math.min(costMs, sum(solved.map(({ bound }) => bound))), limit };
    if (isSettled) break;
    problems = after;
  }
  return best!;
}

function isSame(a: Float64Array, b: Float64Array): boolean {
  return a.every((each, i) => each === b[i]);
}

/** Returns the assignment problem of one layer's experts, with the rows coming from their present ranks. */
function problemOf(input: PlanInput, { rowsWE, rankE }: PlacedLayer, maxLoad: number): BoundedProblem {
  const { config } = input;
  const { nodes, workersPerNode } = config.cluster;
  const [numRanks, numExperts] = [nodes * workersPerNode, rankE.length];
  const prices = bytePrices(input);
  // Prices are for the bytes of a mean rank.
  const msOf = (price: number) => (1000 * WAYS_OF_ROW * rowBytesOf(config) * price) / numRanks;
  const [near, far] = [
    msOf(Math.max(prices.sameNode, LEAST_PRICES.sameNode)),
    msOf(Math.max(prices.otherNode, LEAST_PRICES.otherNode)),
  ];
  const costEW = new Float64Array(numExperts * numRanks);
  const loadE = new Float64Array(numExperts);
  rowsWE.forEach((rows, at) => {
    const [source, expert] = [Math.floor(at / numExperts), at % numExperts];
    loadE[expert]! += rows;
    for (let to = 0; to < numRanks; to++)
      if (to !== source)
        costEW[expert * numRanks + to]! +=
          rows * (nodeOf({ workersPerNode }, to) === nodeOf({ workersPerNode }, source) ? near : far);
  });
  return { numExperts, numRanks, costEW, loadE, maxLoad, nowE: rankE };
}

/** Returns a placement with the given rank of each expert. */
function placementOn(
  { cluster: { nodes, workersPerNode }, moe: { numExperts } }: RunConfig,
  layers: readonly Pick<PlacedLayer, 'layer'>[],
  places: readonly { readonly rankE: Int32Array }[],
): NonNullable<Placement> {
  const ranks = layers.map(({ layer }, i) => [layer, [...places[i]!.rankE]]);
  return { version: 1, numExperts, nodes, workersPerNode, layers: Object.fromEntries(ranks) };
}

/** Draws the random placement with the number `draw`. */
export function randomPlacement(
  config: RunConfig,
  counts: RouteCounts,
  draw: number,
): NonNullable<Placement> {
  const { nodes, workersPerNode } = config.cluster;
  const { numExperts } = config.moe;
  const layers = layersOf(config, counts);
  const places = layers.map(({ layer }) => ({
    rankE: new CounterRandom(draw, `place.random.${layer}`)
      .permutation(numExperts)
      .map((place) => Math.floor((place * nodes * workersPerNode) / numExperts)),
  }));
  return placementOn(config, layers, places);
}
