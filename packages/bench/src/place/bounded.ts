import { CounterRandom } from 'locmoe/internal/parameters/counter-random';
import { type AssignmentCosts, cheapestAssignment, costOfAssignment } from './assign.js';

// E experts, W ranks.

export interface BoundedProblem extends AssignmentCosts {
  /** Load of each expert, length E. */
  readonly loadE: Float64Array;
  /** Maximum load of a rank divided by the mean. */
  readonly maxLoad: number;
  /** Current rank of each expert, which a placement has to improve on. */
  readonly nowE: Int32Array;
}

export interface BoundedAssignment {
  readonly rankE: Int32Array;
  readonly cost: number;
  /** Lower bound: no assignment within the limit costs less. */
  readonly bound: number;
  /**
   * The limit that was applied: `maxLoad` or, if no assignment keeps it, 2 % above the most even load found.
   */
  readonly limit: number;
}

const STARTS = 8;
/** Number of assignments that are solved for the bound; large layers take some seconds. */
const ROUNDS = 200;
const ROUNDS_OF_LARGE = 30;
const LARGE = 128;
/** Number of random exchanges before each new search; then the number of searches times the number of experts. */
const KICK = 3;
const KICKED = 10_000;
/** If no placement keeps the limit, the most even load times this factor is allowed, to have a choice. */
const SLACK = 1.02;
const CLOSE = 1e-9;

/**
 * Finds an assignment of minimum cost with equally many experts on each rank and a bounded load of each,
 * which is a generalised assignment problem and NP-hard. Without the bound it is solved exactly; if that
 * solution keeps the bound, it is the answer. Otherwise the bound is moved into the costs with a multiplier
 * for each rank (Fisher, 1981, The Lagrangian relaxation method): each such problem is again solved exactly,
 * its value is a lower bound, and its assignment, repaired by exchanges of two experts, is a candidate.
 */
export function boundedAssignment(problem: BoundedProblem): BoundedAssignment {
  const { numExperts, numRanks, costEW, loadE, nowE } = problem;
  const mean = total(loadE) / numRanks;
  const free = cheapestAssignment(problem);
  const freeCost = costOfAssignment(problem, free);
  const even = mostEven(problem, [nowE, free]);
  const evenest = mean === 0 ? 1 : mostLoad(even, problem) / mean;
  const limit = evenest <= problem.maxLoad ? problem.maxLoad : SLACK * evenest;
  const most = limit * mean * (1 + CLOSE);
  const isWithin = (rankE: Int32Array) => mostLoad(rankE, problem) <= most;

  let best = withFewExchanges(problem, even.slice(), most);
  const consider = (start: Int32Array) => {
    const rankE = withFewExchanges(problem, start.slice(), most);
    if (isWithin(rankE) && costOfAssignment(problem, rankE) < costOfAssignment(problem, best)) best = rankE;
  };
  if (isWithin(free)) best = free;
  else consider(free);
  let bound = freeCost;
  if (best !== free) {
    const multipliers = new Float64Array(numRanks);
    const rounds = numExperts > LARGE ? ROUNDS_OF_LARGE : ROUNDS;
    for (let round = 0; round < rounds; round++) {
      const priced = costEW.map(
        (cost, i) => cost + multipliers[i % numRanks]! * loadE[Math.floor(i / numRanks)]!,
      );
      const rankE = cheapestAssignment({ numExperts, numRanks, costEW: priced });
      const excess = loadsOf(rankE, problem).map((load) => load - most);
      const value =
        costOfAssignment(problem, rankE) +
        excess.reduce((sum, each, rank) => sum + multipliers[rank]! * each, 0);
      bound = Math.max(bound, value);
      consider(rankE);
      const gap = costOfAssignment(problem, best) - value;
      // A multiplier of 0 stays if its rank has room.
      const slope = excess.map((each, rank) => (each < 0 && multipliers[rank] === 0 ? 0 : each));
      const steepness = slope.reduce((sum, each) => sum + each * each, 0);
      if (gap <= CLOSE * Math.abs(bound) || steepness === 0) break;
      const step = (gap / steepness) * (1 - round / rounds);
      for (const [rank, each] of slope.entries())
        multipliers[rank] = Math.max(0, multipliers[rank]! + step * each);
    }
  }
  const draw = new CounterRandom(1, 'place.kicks');
  for (let kick = 0; best !== free && kick < KICKED / numExperts; kick++) {
    if (costOfAssignment(problem, best) <= bound * (1 + CLOSE)) break;
    const start = best.slice();
    for (let i = 0; i < KICK; i++) {
      const [a, b] = [0, 1].map((k) => Math.floor(numExperts * draw.uniform(2 * (KICK * kick + i) + k)));
      [start[a!], start[b!]] = [start[b!]!, start[a!]!];
    }
    consider(start);
  }
  // If nothing is gained, experts stay where they are.
  if (isWithin(nowE) && costOfAssignment(problem, nowE) <= costOfAssignment(problem, best) * (1 + CLOSE))
    best = nowE;
  const cost = costOfAssignment(problem, best);
  return { rankE: best, cost, bound: Math.min(bound, cost), limit };
}

function total(values: Float64Array): number {
  return values.reduce((sum, each) => sum + each, 0);
}

type Loads = Pick<BoundedProblem, 'numRanks' | 'loadE'>;

function loadsOf(rankE: Int32Array, { numRanks, loadE }: Loads): Float64Array {
  const loads = new Float64Array(numRanks);
  rankE.forEach((rank, expert) => {
    loads[rank]! += loadE[expert]!;
  });
  return loads;
}

function mostLoad(rankE: Int32Array, loads: Loads): number {
  return Math.max(...loadsOf(rankE, loads));
}

/**
 * Searches for the assignment with the most even load from several starts: the given assignments, the largest
 * experts first on the emptiest rank, and random ones.
 */
function mostEven(problem: BoundedProblem, given: readonly Int32Array[]): Int32Array {
  const { numExperts } = problem;
  const byLoad = Array.from(problem.loadE.keys()).sort((a, b) => problem.loadE[b]! - problem.loadE[a]!);
  const draw = new CounterRandom(1, 'place.even');
  const starts = Array.from({ length: STARTS }, (_, i) => {
    const jitter = (expert: number) => i * draw.uniform(i * numExperts + expert) * 0.1;
    return i === 0
      ? byLoad
      : byLoad.toSorted((a, b) => problem.loadE[b]! * (1 + jitter(b)) - problem.loadE[a]! * (1 + jitter(a)));
  }).map((order) => toTheEmptiest(problem, order));
  return [...given, ...starts]
    .map((start) => evenedOut(problem, start.slice()))
    .reduce((best, each) => (mostLoad(each, problem) < mostLoad(best, problem) ? each : best));
}

function toTheEmptiest(
  { numExperts, numRanks, loadE }: BoundedProblem,
  order: readonly number[],
): Int32Array {
  const rankE = new Int32Array(numExperts);
  const loads = new Float64Array(numRanks);
  const room = new Int32Array(numRanks).fill(numExperts / numRanks);
  for (const expert of order) {
    let to = -1;
    for (let rank = 0; rank < numRanks; rank++)
      if (room[rank]! > 0 && (to < 0 || loads[rank]! < loads[to]!)) to = rank;
    rankE[expert] = to;
    loads[to]! += loadE[expert]!;
    room[to]!--;
  }
  return rankE;
}

/** Exchanges experts of the fullest rank with others while that lowers the higher load of the two ranks. */
function evenedOut(problem: BoundedProblem, rankE: Int32Array): Int32Array {
  const { numExperts, loadE } = problem;
  const loads = loadsOf(rankE, problem);
  for (let round = 0; round < 10 * numExperts; round++) {
    const fullest = loads.indexOf(Math.max(...loads));
    let best: { readonly a: number; readonly b: number; readonly most: number } | null = null;
    for (let a = 0; a < numExperts; a++) {
      if (rankE[a] !== fullest) continue;
      for (let b = 0; b < numExperts; b++) {
        if (rankE[b] === fullest) continue;
        const moved = loadE[a]! - loadE[b]!;
        const most = Math.max(loads[fullest]! - moved, loads[rankE[b]!]! + moved);
        if (most < (best?.most ?? loads[fullest]! * (1 - CLOSE))) best = { a, b, most };
      }
    }
    if (best === null) break;
    exchange(best.a, best.b, rankE, loads, loadE);
  }
  return rankE;
}

/**
 * Exchanges pairs of experts, first while that brings the loads closer to the limit, then while it saves cost
 * within the limit.
 *
 * @param rankE changed in place
 */
function withFewExchanges(problem: BoundedProblem, rankE: Int32Array, most: number): Int32Array {
  const { numExperts, numRanks, costEW, loadE } = problem;
  const loads = loadsOf(rankE, problem);
  const over = (load: number) => Math.max(0, load - most);
  const costOf = (expert: number, rank: number) => costEW[expert * numRanks + rank]!;
  const least = CLOSE * (Math.abs(costOfAssignment(problem, rankE)) / numExperts);
  for (let round = 0; round < 10 * numExperts; round++) {
    let best: { readonly a: number; readonly b: number; readonly worth: number } | null = null;
    const isOver = loads.some((load) => load > most);
    for (let a = 0; a < numExperts; a++) {
      const from = rankE[a]!;
      if (isOver && loads[from]! <= most) continue;
      for (let b = isOver ? 0 : a + 1; b < numExperts; b++) {
        const to = rankE[b]!;
        if (from === to) continue;
        const moved = loadE[a]! - loadE[b]!;
        const [fromLoad, toLoad] = [loads[from]! - moved, loads[to]! + moved];
        const relief = over(loads[from]!) + over(loads[to]!) - over(fromLoad) - over(toLoad);
        const cost = costOf(a, to) + costOf(b, from) - costOf(a, from) - costOf(b, to);
        if (isOver ? relief <= CLOSE * most : relief < 0 || cost >= -least) continue;
        // The exchange with the lowest cost per unit of load relieved comes first.
        const worth = isOver ? -Math.max(cost, least) / relief : -cost;
        if (worth > (best?.worth ?? Number.NEGATIVE_INFINITY)) best = { a, b, worth };
      }
    }
    if (best === null) break;
    exchange(best.a, best.b, rankE, loads, loadE);
  }
  return rankE;
}

function exchange(a: number, b: number, rankE: Int32Array, loads: Float64Array, loadE: Float64Array): void {
  const [from, to] = [rankE[a]!, rankE[b]!];
  const moved = loadE[a]! - loadE[b]!;
  loads[from]! -= moved;
  loads[to]! += moved;
  rankE[a] = to;
  rankE[b] = from;
}
