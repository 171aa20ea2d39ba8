import { describe, expect, it } from 'vitest';
import {
  affinityHead,
  capacityBound,
  classicCapacity,
  discriminativeShare,
  workingCapacity,
} from '../../../src/routing/capacity/capacity.js';
import { randomValues } from '../../model/support.js';

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

const relative = (actual: number, expected: number) => Math.abs(actual / expected - 1);

describe('the capacity bound', () => {
  it('p_delta at delta = 1 / sqrt(d) is about 0.32 for large d', () => {
    expect(discriminativeShare(4096, 1 / Math.sqrt(4096))).toBeCloseTo(0.3173, 3);
  });

  it.each([
    [8, 0.3],
    [64, 0.1],
  ])('p_delta is the share of random unit vectors in d = %i with a cosine of at least %f', (d, delta) => {
    const draws = 20_000;
    const x = randomValues(`unit vectors ${d} ${delta}`, draws * d);
    let hits = 0;
    for (let i = 0; i < draws; i++) {
      let squares = 0;
      for (let j = 0; j < d; j++) squares += x[i * d + j] ** 2;
      if (Math.abs(x[i * d]) >= delta * Math.sqrt(squares)) hits++;
    }
    const p = discriminativeShare(d, delta);
    expect(Math.abs(hits / draws - p)).toBeLessThan(4 * Math.sqrt((p * (1 - p)) / draws));
  });

  // Theorem 1: p_delta ~ erfc(x) with x^2 = d delta^2 / (2 - delta^2). Values of erfc: Abramowitz and Stegun,
  // table 7.1.
  it.each([
    [0.5, 0.4795001221869535],
    [2, 0.004677734981047266],
  ])('p_delta approaches erfc(%f) as d grows', (x, erfc) => {
    const gaps = [64, 256, 1024, 4096].map((d) =>
      relative(discriminativeShare(d, Math.sqrt((2 * x * x) / (d + x * x))), erfc),
    );
    // The error is of order 1/d.
    for (let i = 1; i < gaps.length; i++) expect(gaps[i] / gaps[i - 1]).toBeLessThan(0.3);
    expect(gaps[3]).toBeLessThan(0.003);
  });

  it('is one token among n experts when every token is discriminative', () => {
    expect(capacityBound(16, 128, 0)).toBeCloseTo(1 / 16, 12);
  });

  it('at the delta that LocMoE measured, 0.03', () => {
    expect(discriminativeShare(4096, 0.03)).toBeCloseTo(0.0549, 3);
    expect(capacityBound(16, 4096, 0.03)).toBeCloseTo(1.139, 2);
  });
});

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
