import { describe, expect, it } from 'vitest';
import { studentTAbove } from '../src/student-t.js';

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

  it('is exact where there is a closed form', () => {
    for (const t of [0, 0.3, 1, 2.5, 40]) {
      expect(studentTAbove(t, 1)).toBeCloseTo(0.5 - Math.atan(t) / Math.PI, 10);
      expect(studentTAbove(t, 2)).toBeCloseTo(0.5 * (1 - t / Math.sqrt(2 + t * t)), 10);
    }
  });

  it('is symmetric, from 1 down to 0', () => {
    expect(studentTAbove(0, 5)).toBe(0.5);
    expect(studentTAbove(-1.7, 5)).toBeCloseTo(1 - studentTAbove(1.7, 5), 12);
    expect(studentTAbove(Number.POSITIVE_INFINITY, 2)).toBe(0);
    expect(studentTAbove(Number.NEGATIVE_INFINITY, 2)).toBe(1);
  });
});
