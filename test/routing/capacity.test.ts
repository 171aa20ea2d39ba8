import { describe, expect, it } from 'vitest';
import { classicCapacity, keepFirstCome } from '../../src/routing/capacity.js';
import { randomIntegers } from '../model/support.js';

describe('classicCapacity', () => {
  it.each([
    [1.25, 1024, 1, 8, 160],
    [1.1, 10, 2, 4, 6],
    [1, 7, 1, 3, 3],
    [0.01, 4, 1, 8, 1],
    [null, 4, 1, 8, Infinity],
  ])('factor %s, %i tokens, k %i, %i experts', (factor, numTokens, k, numExperts, expected) => {
    expect(classicCapacity(factor, numTokens, k, numExperts)).toBe(expected);
  });
});

describe.each([0, 1, 3, Infinity])('keepFirstCome with capacity %s', (capacity) => {
  it('keeps the first choices of each expert', () => {
    const chosen = randomIntegers('choices', 40, 6).map((expert) => expert - 1);
    const { expertsTK, routedE, keptE } = keepFirstCome(chosen, 5, capacity);
    for (let expert = 0; expert < 5; expert++) {
      const wanted = [...chosen.keys()].filter((choice) => chosen[choice] === expert);
      const kept = [...expertsTK.keys()].filter((choice) => expertsTK[choice] === expert);
      expect(kept).toEqual(wanted.slice(0, capacity));
      expect([routedE[expert], keptE[expert]]).toEqual([wanted.length, kept.length]);
    }
    expect(expertsTK.every((expert, choice) => expert === -1 || expert === chosen[choice])).toBe(true);
  });
});
