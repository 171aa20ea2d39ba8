import { describe, expect, it } from 'vitest';
import { freeOf } from '../../src/plan/measure/exchange-costs.js';
import { errorsOf, fitCosts, measureVisible, type Observation } from '../../src/plan/measure/fit.js';

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

const EXCHANGE = { wakeUs: 50, hopUs: 200, messageUs: 3, byteNs: 0.1, frameUs: 30, streamByteNs: 0.5 };

/** Measures with these results in turn; a negative result stands for a hidden cost. */
async function measureOf(results: number[]) {
  const said: string[] = [];
  const measure = async () => results.shift()!;
  const hidden = (result: number) => (result < 0 ? 'hops' : null);
  const measured = await measureVisible(measure, hidden, (line) => said.push(line)).catch((error) => error);
  return { measured, said, numLeft: results.length };
}

describe('a cost that other work hides', () => {
  it('is measured again, and what follows is not', async () => {
    expect(await measureOf([-1, -2, 3, 4])).toEqual({
      measured: 3,
      said: Array(2).fill(
        '  hops seem to cost nothing, so other work on this machine hides it; measuring again',
      ),
      numLeft: 1,
    });
  });

  it('is refused after three measurements', async () => {
    const { measured, numLeft } = await measureOf([-1, -2, -3, 4]);
    expect(measured).toMatchObject({
      code: 'NO_RESOURCE',
      message: expect.stringMatching(
        /^hops cost nothing in 3 measurements: .*; calibrate while there is none$/,
      ),
    });
    expect(numLeft).toBe(1);
  });
});

describe('of an exchange', () => {
  it.each([
    ['exchanges in a node', { wakeUs: 0, messageUs: 0 }],
    ['exchanges between nodes', { hopUs: 0, frameUs: 0 }],
    ['bytes of exchanges', { byteNs: 0, streamByteNs: 0 }],
  ])('%s cannot be free', (what, costs) => {
    expect(freeOf({ ...EXCHANGE, ...costs })).toBe(what);
  });

  it.each(Object.keys(EXCHANGE))('%s alone can: the fit may have counted it elsewhere', (cost) => {
    expect(freeOf({ ...EXCHANGE, [cost]: 0 })).toBeNull();
  });
});
