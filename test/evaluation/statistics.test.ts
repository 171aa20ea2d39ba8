import { describe, expect, it } from 'vitest';
import { bootstrapIntervals, mcNemar, scoreOf } from '../../src/evaluation/statistics.js';

describe('scoreOf', () => {
  it('has the sample standard deviation over the root of n', () => {
    // Mean 3/5, sum of squares 3 x 0.16 + 2 x 0.36 = 1.2.
    const { value, stderr, n } = scoreOf([[1, 1, 1, 0, 0]]);
    expect([value, n]).toEqual([0.6, 5]);
    expect(stderr).toBeCloseTo(Math.sqrt(1.2 / 4 / 5), 12);
    expect(scoreOf([[1]])).toEqual({ value: 1, stderr: null, n: 1 });
  });

  it('pools groups by their sizes', () => {
    const [a, b] = [
      [1, 0, 1],
      [0, 0, 0, 1],
    ];
    const [one, other] = [scoreOf([a]), scoreOf([b])];
    // lm-evaluation-harness: the root of sum((n - 1) n s^2) / (N - groups) / N.
    const pooled = (2 * 3 * one.stderr! ** 2 + 3 * 4 * other.stderr! ** 2) / (7 - 2) / 7;
    expect(scoreOf([a, b]).value).toBeCloseTo((2 + 1) / 7);
    expect(scoreOf([a, b]).stderr).toBeCloseTo(Math.sqrt(pooled));
  });
});

describe('mcNemar', () => {
  it('is the two-sided binomial test of the discordant questions', () => {
    expect(mcNemar(0, 0)).toBe(1);
    expect(mcNemar(3, 3)).toBe(1);
    // 2 (1 + 6) / 2^6
    expect(mcNemar(1, 5)).toBeCloseTo(14 / 64, 12);
    expect(mcNemar(5, 1)).toBeCloseTo(14 / 64, 12);
    // 2 (1 + 25 + 300 + 2300 + 12650 + 53130 + 177100 + 480700) / 2^25
    expect(mcNemar(7, 18)).toBeCloseTo((2 * 726_206) / 2 ** 25, 12);
  });

  it('comes near the chi-squared test where many differ', () => {
    // (|400 - 460| - 1)^2 / 860 = 4.0477, p = 0.0442
    expect(mcNemar(400, 460)).toBeCloseTo(0.0442, 3);
  });
});

describe('bootstrapIntervals', () => {
  it('covers the mean difference by about two standard errors, and is the same for a seed', () => {
    const row = Array.from({ length: 200 }, (_, i) => (i % 10 === 0 ? 1 : i % 25 === 1 ? -1 : 0));
    const constant = row.map(() => 1);
    const [interval, certain] = bootstrapIntervals([row, constant], 1);
    const { value, stderr } = scoreOf([row]);
    expect(interval.low).toBeCloseTo(value - 1.96 * stderr!, 1.9);
    expect(interval.high).toBeCloseTo(value + 1.96 * stderr!, 1.9);
    expect(certain.low).toBeCloseTo(1);
    expect(certain.high).toBeCloseTo(1);
    const uneven = row.map((_, i) => Math.sin(i));
    expect(bootstrapIntervals([uneven], 1)).toEqual(bootstrapIntervals([uneven], 1));
    expect(bootstrapIntervals([uneven], 2)).not.toEqual(bootstrapIntervals([uneven], 1));
  });
});
