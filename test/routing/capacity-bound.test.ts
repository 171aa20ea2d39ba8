import { describe, expect, it } from 'vitest';
import { capacityBound, discriminativeShare } from '../../src/routing/capacity.js';
import { logGamma, regularizedIncompleteBeta } from '../../src/routing/special-functions.js';
import { randomValues } from '../model/support.js';

const relative = (actual: number, expected: number) => Math.abs(actual / expected - 1);

describe('special functions', () => {
  it.each([
    [0.5, Math.log(Math.sqrt(Math.PI))],
    [1, 0],
    [5, Math.log(24)],
    [101, 363.7393755555635],
  ])('logGamma(%f)', (x, expected) => {
    expect(Math.abs(logGamma(x) - expected)).toBeLessThan(1e-12 * (1 + Math.abs(expected)));
  });

  it.each([0.01, 0.3, 0.5, 0.9, 0.999])('incomplete beta in closed form at %f', (x) => {
    expect(relative(regularizedIncompleteBeta(x, 1, 4), 1 - (1 - x) ** 4)).toBeLessThan(1e-12);
    expect(relative(regularizedIncompleteBeta(x, 3, 1), x ** 3)).toBeLessThan(1e-12);
    expect(
      relative(regularizedIncompleteBeta(x, 0.5, 0.5), (2 / Math.PI) * Math.asin(Math.sqrt(x))),
    ).toBeLessThan(1e-11);
  });
});

describe('the capacity bound', () => {
  it('p_delta at delta = 1 / sqrt(d) is about 0.32 for large d', () => {
    expect(discriminativeShare(4096, 1 / Math.sqrt(4096))).toBeCloseTo(0.3173, 3);
  });

  it.each([
    [8, 0.3],
    [64, 0.1],
    [64, 0.3],
    [256, 0.03],
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
    [1, 0.15729920705028513],
    [2, 0.004677734981047266],
  ])('p_delta approaches erfc(%f) as d grows', (x, erfc) => {
    const gaps = [64, 256, 1024, 4096].map((d) =>
      relative(discriminativeShare(d, Math.sqrt((2 * x * x) / (d + x * x))), erfc),
    );
    // The error is of order 1/d.
    for (let i = 1; i < gaps.length; i++) expect(gaps[i] / gaps[i - 1]).toBeLessThan(0.3);
    expect(gaps[3]).toBeLessThan(0.003);
  });

  it.each([64, 256, 1024, 4096])('grows with delta (d = %i)', (d) => {
    let before = 0;
    for (let delta = 0.005; delta < 0.4; delta += 0.005) {
      const bound = capacityBound(8, d, delta);
      expect(bound).toBeGreaterThan(before);
      before = bound;
    }
  });

  it('is one token among n experts when every token is discriminative', () => {
    expect(capacityBound(16, 128, 0)).toBeCloseTo(1 / 16, 12);
  });

  it('at the delta that LocMoE measured, 0.03', () => {
    expect(discriminativeShare(4096, 0.03)).toBeCloseTo(0.0549, 3);
    expect(capacityBound(16, 4096, 0.03)).toBeCloseTo(1.139, 2);
  });
});
