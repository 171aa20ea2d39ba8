import { CounterRandom } from 'locmoe/internal/parameters/counter-random';
import { describe, expect, it } from 'vitest';
import { cheapestAssignment, costOfAssignment } from '../../src/place/assign.js';
import { type BoundedProblem, boundedAssignment } from '../../src/place/bounded.js';

/** Yields every assignment that places equally many experts on each rank. */
function* assignments(numExperts: number, numRanks: number, rankE: number[] = []): Generator<Int32Array> {
  if (rankE.length === numExperts) {
    yield Int32Array.from(rankE);
    return;
  }
  for (let rank = 0; rank < numRanks; rank++)
    if (rankE.filter((each) => each === rank).length < numExperts / numRanks)
      yield* assignments(numExperts, numRanks, [...rankE, rank]);
}

function problemOf(numExperts: number, numRanks: number, seed: number, maxLoad: number): BoundedProblem {
  const draw = new CounterRandom(seed, 'problem');
  const loadE = Float64Array.from({ length: numExperts }, (_, i) => 10 + 90 * draw.uniform(i));
  return {
    numExperts,
    numRanks,
    loadE,
    // Some ranks cost the same for an expert, and some cost nothing.
    costEW: Float64Array.from({ length: numExperts * numRanks }, (_, i) => {
      const cost = Math.floor(20 * draw.uniform(1000 + i));
      return cost < 4 ? 0 : cost * loadE[Math.floor(i / numRanks)];
    }),
    maxLoad,
    nowE: Int32Array.from({ length: numExperts }, (_, i) => Math.floor((i * numRanks) / numExperts)),
  };
}

const SIZES = [
  [6, 3],
  [8, 2],
  [5, 5],
] as const;

const loadOf = ({ loadE, numRanks }: BoundedProblem, rankE: Int32Array) => {
  const loads = new Float64Array(numRanks);
  for (const [expert, rank] of rankE.entries()) loads[rank] += loadE[expert];
  return Math.max(...loads) / (loads.reduce((a, b) => a + b) / numRanks);
};

describe.each(SIZES)('%i experts on %i ranks', (numExperts, numRanks) => {
  const seeds = Array.from({ length: 12 }, (_, i) => i + 1);

  it('the cheapest assignment is that of all which costs least', () => {
    for (const seed of seeds) {
      const problem = problemOf(numExperts, numRanks, seed, 1.1);
      const costs = [...assignments(numExperts, numRanks)].map((each) => costOfAssignment(problem, each));
      const found = cheapestAssignment(problem);
      for (let rank = 0; rank < numRanks; rank++)
        expect(found.filter((each) => each === rank)).toHaveLength(numExperts / numRanks);
      expect(costOfAssignment(problem, found)).toBeCloseTo(Math.min(...costs), 6);
    }
  });

  it('within a bounded load: the bound is below the best of all, what was found above and near', () => {
    let optimal = 0;
    for (const seed of seeds) {
      const problem = problemOf(numExperts, numRanks, seed, 1.1);
      const all = [...assignments(numExperts, numRanks)];
      const evenest = Math.min(...all.map((each) => loadOf(problem, each)));
      const { rankE, cost, bound, limit } = boundedAssignment(problem);
      expect(limit).toBeCloseTo(evenest <= 1.1 ? 1.1 : 1.02 * evenest, 6);
      expect(loadOf(problem, rankE)).toBeLessThanOrEqual(limit * (1 + 1e-8));
      const within = all.filter((each) => loadOf(problem, each) <= limit * (1 + 1e-9));
      const best = Math.min(...within.map((each) => costOfAssignment(problem, each)));
      expect(cost).toBeCloseTo(costOfAssignment(problem, rankE), 6);
      expect(bound).toBeLessThanOrEqual(best * (1 + 1e-6));
      expect(cost).toBeGreaterThanOrEqual(best * (1 - 1e-6));
      expect(cost).toBeLessThanOrEqual(best * 1.25 + 1e-6);
      if (cost <= best * (1 + 1e-6)) optimal++;
    }
    expect(optimal).toBeGreaterThanOrEqual(11);
  });
});

it('experts stay where they are if no place is better', () => {
  const problem = problemOf(8, 4, 3, 10);
  const alike = { ...problem, costEW: new Float64Array(32).fill(7) };
  expect(boundedAssignment(alike).rankE).toEqual(problem.nowE);
});

it('with 256 experts on 32 ranks the gap is small', () => {
  const { cost, bound } = boundedAssignment(problemOf(256, 32, 5, 1.1));
  expect(cost).toBeLessThan(1.02 * bound);
});
