import { describe, expect, it } from 'vitest';
import { classicCapacity } from '../../src/routing/capacity.js';

describe('classicCapacity', () => {
  it.each([
    [1.25, 1024, 1, 8, 160],
    [1.1, 10, 2, 4, 6],
    [1, 7, 1, 3, 3],
    // 1.1 is not a binary fraction.
    [1.1, 3200, 1, 2, 1760],
    [1.1, 3201, 1, 2, 1761],
    [0.01, 4, 1, 8, 1],
    [null, 4, 1, 8, Infinity],
  ])('factor %s, %i tokens, k %i, %i experts', (factor, numTokens, k, numExperts, expected) => {
    expect(classicCapacity(factor, numTokens, k, numExperts)).toBe(expected);
  });
});
