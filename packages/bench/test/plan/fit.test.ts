import { describe, expect, it } from 'vitest';
import { errorsOf, fitCosts, type Observation } from '../../src/plan/measure/fit.js';

/** Values explained exactly by the costs 2, 0.5 and 1e-6. */
const observations = [
  [1, 0, 1e6],
  [0, 4, 2e6],
  [3, 1, 0],
  [2, 8, 5e5],
].map(([a, b, c]) => observation([a, b, c], 2 * a + 0.5 * b + 1e-6 * c));

function observation(counts: readonly number[], value: number, unit = value): Observation {
  return { counts, value, unit };
}

describe('fitCosts', () => {
  it('finds the costs of whatever size that explain the values', () => {
    const costs = fitCosts(observations);
    [2, 0.5, 1e-6].forEach((cost, i) => {
      expect(costs[i] / cost).toBeCloseTo(1, 6);
    });
    for (const error of errorsOf(observations, costs)) expect(error).toBeCloseTo(0, 6);
  });

  it('never goes below zero, and gives 0 to what does not occur', () => {
    const [a, b, unused] = fitCosts([observation([1, 1, 0], 1), observation([1, 2, 0], 0.5)]);
    expect(b).toBe(0);
    expect(a).toBeGreaterThan(0.5);
    expect(a).toBeLessThan(1);
    expect(unused).toBe(0);
  });

  it('minds errors in their units', () => {
    const relative = [observation([1], 1), observation([1000], 1200)];
    // Minimises (cost - 1)^2 + (cost / 1.2 - 1)^2.
    expect(fitCosts(relative)[0]).toBeCloseTo((1 + 1 / 1.2) / (1 + 1 / 1.44), 9);
    const absolute = [observation([1], 1, 1), observation([1], 2, 0.1)];
    expect(fitCosts(absolute)[0]).toBeCloseTo((1 + 100 * 2) / 101, 9);
  });
});
