import type { Pair } from '@locmoe/bench/internal/pairs';
import { describe, expect, it } from 'vitest';
import { testEquivalence as testWithin } from '../../gates/equivalence.js';

/** Pairs whose ratios have these logarithms. */
const pairs = (...logs: number[]): Pair[] => logs.map((log) => ({ own: 20 * Math.exp(log), other: 20 }));
/** P(T > t) with two degrees of freedom. */
const above = (t: number) => 0.5 * (1 - t / Math.sqrt(2 + t * t));
const LIMIT = Math.log(1.01);
const testEquivalence = (all: readonly Pair[], margin = 0.01) => testWithin(all, margin);

describe('testEquivalence', () => {
  it('says equal where all seeds lie close together within the margin', () => {
    // Mean 0.003, standard deviation 0.001.
    const tested = testEquivalence(pairs(0.002, 0.004, 0.003))!;
    expect(tested).toMatchObject({ verdict: 'equal' });
    const reach = (4.302652729911275 * 0.001) / Math.sqrt(3);
    expect(tested.interval!.low).toBeCloseTo(Math.expm1(0.003 - reach), 12);
    expect(tested.interval!.high).toBeCloseTo(Math.expm1(0.003 + reach), 12);
    expect(tested.meanDifference).toBeCloseTo(Math.expm1(0.003), 12);
    // The p value is that of the harder one-sided test: whether the mean is below the upper limit.
    expect(tested.p).toBeCloseTo(above((LIMIT - 0.003) / (0.001 / Math.sqrt(3))), 9);
  });

  it('does not take few and scattered seeds for equality, however small their mean', () => {
    const tested = testEquivalence(pairs(-0.02, 0, 0.02))!;
    expect(tested.meanDifference).toBeCloseTo(0, 12);
    expect(tested.p).toBeCloseTo(above(LIMIT / (0.02 / Math.sqrt(3))), 9);
    expect(tested.verdict).toBe('undecided');
  });

  it('says not equal where the 95 % interval lies beyond the margin, on either side', () => {
    expect(testEquivalence(pairs(-0.2, -0.21, -0.19))!.verdict).toBe('not equal');
    expect(testEquivalence(pairs(0.2, 0.21, 0.19))!.verdict).toBe('not equal');
    // The mean is beyond the margin, but not significantly.
    expect(testEquivalence(pairs(0.002, 0.02, 0.03))!.verdict).toBe('undecided');
  });

  it('is undecided where an arm is either equal or better', () => {
    const tested = testEquivalence(pairs(-0.004, -0.006, -0.011))!;
    expect(tested).toMatchObject({ verdict: 'undecided' });
    const standardError = Math.sqrt(13e-6) / Math.sqrt(3);
    expect(tested.p).toBeCloseTo(above((LIMIT - 0.007) / standardError), 9);
    expect(testEquivalence(pairs(0.004, 0.006, 0.011))!.verdict).toBe('undecided');
  });

  it('is the same the other way round', () => {
    const all = pairs(0.003, -0.002, 0.008, 0.001);
    const swapped = all.map(({ own, other }) => ({ own: other, other: own }));
    expect(testEquivalence(swapped)!.p).toBeCloseTo(testEquivalence(all)!.p!, 12);
  });

  it('takes the margin it is given', () => {
    expect(testEquivalence(pairs(0.02, 0.021, 0.022))!.verdict).toBe('not equal');
    expect(testEquivalence(pairs(0.02, 0.021, 0.022), 0.05)!.verdict).toBe('equal');
  });

  it('decides nothing from one seed, and has nothing without any', () => {
    expect(testEquivalence(pairs(0))).toEqual({
      p: null,
      meanDifference: 0,
      interval: null,
      verdict: 'undecided',
    });
    expect(testEquivalence([])).toBeNull();
  });

  it('needs no spread between the seeds', () => {
    expect(testEquivalence(pairs(0, 0, 0))).toMatchObject({ p: 0, verdict: 'equal' });
    expect(testEquivalence(pairs(0.25, 0.25))).toMatchObject({ p: 1, verdict: 'not equal' });
  });
});
