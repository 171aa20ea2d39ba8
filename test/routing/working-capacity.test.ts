import { describe, expect, it } from 'vitest';
import { affinityHead, capacityBound, workingCapacity } from '../../src/routing/capacity.js';
import { randomValues } from '../model/support.js';

describe('affinityHead', () => {
  it.each([0.1, 0.5, 0.8, 1])('is the shortest head that holds %f of the mass', (share) => {
    for (let round = 0; round < 50; round++) {
      const cosines = randomValues(`cosines ${round}`, 1 + round, 0.1);
      const falling = [...cosines].sort((a, b) => b - a);
      const mass = (count: number) => falling.slice(0, count).reduce((sum, c) => sum + Math.exp(12 * c), 0);
      const { count, leastCosine } = affinityHead(cosines.toSorted(), share, 12);
      expect(mass(count)).toBeGreaterThanOrEqual(share * mass(falling.length) * (1 - 1e-9));
      expect(mass(count - 1)).toBeLessThan(share * mass(falling.length));
      expect(leastCosine).toBe(falling[count - 1]);
    }
  });

  it('shrinks as affinity concentrates, is whole where all are alike, and empty without candidates', () => {
    const alike = new Float32Array(100).fill(-0.1);
    const concentrated = alike.map((_, i) => (i < 90 ? -0.1 : 0.9));
    expect(affinityHead(alike, 0.8, 10).count).toBe(80);
    expect(affinityHead(concentrated, 0.8, 10).count).toBe(9);
    expect(affinityHead(Float32Array.of(-0.9, 0.9), 0.8, 5000).count).toBe(1);
    expect(affinityHead(new Float32Array(0), 0.8, 10)).toEqual({ count: 0, leastCosine: 0 });
  });
});

describe('workingCapacity', () => {
  const base = { classic: 100, count: 40, delta: 0, numExperts: 8, dModel: 128 };

  it.each([
    ['the head where the bound is small', base, 40],
    ['the classic capacity at most', { ...base, count: 140 }, 100],
    ['the classic capacity where the bound is huge', { ...base, delta: 0.9 }, 100],
    ['at least one token', { ...base, count: 0 }, 1],
    ['the bound at zero for a negative delta', { ...base, count: 0, delta: -0.5 }, 1],
  ])('%s', (_, options, expected) => {
    expect(workingCapacity(options)).toBe(expected);
  });

  it('the bound where it exceeds the head', () => {
    const delta = 0.25;
    expect(workingCapacity({ ...base, count: 3, delta })).toBe(Math.ceil(capacityBound(8, 128, delta)));
    expect(capacityBound(8, 128, delta)).toBeGreaterThan(3);
  });
});
