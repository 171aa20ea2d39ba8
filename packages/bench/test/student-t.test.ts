import { describe, expect, it } from 'vitest';
import { holm, studentTAbove, studentTQuantile, testMean } from '../src/student-t.js';

describe('studentTAbove', () => {
  // Upper quantiles as tabulated, to the digits that tables print.
  it.each([
    [6.3138, 1, 0.05],
    [2.92, 2, 0.05],
    [4.3027, 2, 0.025],
    [2.3534, 3, 0.05],
    [2.1318, 4, 0.05],
    [3.7469, 4, 0.01],
    [2.8214, 9, 0.01],
    [1.6973, 30, 0.05],
  ])('P(T > %d) with %d degrees of freedom is %d', (t, degrees, probability) => {
    expect(studentTAbove(t, degrees) / probability).toBeCloseTo(1, 3);
  });

  it('is symmetric, from 1 down to 0', () => {
    expect(studentTAbove(0, 5)).toBe(0.5);
    expect(studentTAbove(-1.7, 5)).toBeCloseTo(1 - studentTAbove(1.7, 5), 12);
    expect(studentTAbove(Number.POSITIVE_INFINITY, 2)).toBe(0);
    expect(studentTAbove(Number.NEGATIVE_INFINITY, 2)).toBe(1);
  });
});

it('studentTQuantile is the inverse', () => {
  expect(studentTQuantile(0.025, 2)).toBeCloseTo(4.302652729911275, 9);
  expect(studentTQuantile(0.025, 5)).toBeCloseTo(2.570581835636314, 9);
  expect(studentTQuantile(0.005, 1)).toBeCloseTo(63.65674116287399, 6);
});

describe('testMean', () => {
  it('has the mean, its 95 % interval and one-sided p values', () => {
    const tested = testMean([1, 2, 3])!;
    const standardError = 1 / Math.sqrt(3);
    expect(tested.mean).toBe(2);
    expect(tested.interval.low).toBeCloseTo(2 - 4.302652729911275 * standardError, 9);
    expect(tested.interval.high).toBeCloseTo(2 + 4.302652729911275 * standardError, 9);
    // Two degrees of freedom: P(T > t) = (1 - t / sqrt(2 + t^2)) / 2.
    expect(tested.pAbove(0)).toBeCloseTo((1 - Math.sqrt(12 / 14)) / 2, 12);
    expect(tested.pBelow(0)).toBeCloseTo(1 - tested.pAbove(0), 12);
  });

  it('needs two values, but no spread', () => {
    expect(testMean([2])).toBeNull();
    const same = testMean([2, 2])!;
    expect(same.interval).toEqual({ low: 2, high: 2 });
    expect([same.pAbove(1), same.pAbove(3), same.pAbove(2)]).toEqual([0, 1, 0.5]);
  });
});

describe('holm', () => {
  it('multiplies the smallest p by the number of tests, the next by one less', () => {
    expect(holm([0.04, 0.01, 0.03])).toEqual([
      expect.closeTo(0.06, 12),
      expect.closeTo(0.03, 12),
      expect.closeTo(0.06, 12),
    ]);
    expect(holm([0.6, 0.7])).toEqual([1, 1]);
    expect(holm([0.02])).toEqual([0.02]);
    expect(holm([])).toEqual([]);
  });
});
