import { describe, expect, it } from 'vitest';
import { median, quantile, spreadOf } from '../src/statistics.js';

describe('quantile', () => {
  it('lies between the neighbours of its place', () => {
    expect(quantile([40, 10, 20, 30], 0.5)).toBe(25);
    expect(quantile([10, 20, 30, 40, 50], 0.1)).toBeCloseTo(14, 12);
    expect(quantile([7], 0.9)).toBe(7);
    expect(quantile([], 0.5)).toBeNaN();
  });

  it('leaves the values as they were', () => {
    const values = [3, 1, 2];
    expect(median(values)).toBe(2);
    expect(values).toEqual([3, 1, 2]);
  });

  it('spans the seeds', () => {
    expect(spreadOf([5, 9, 1])).toEqual({ median: 5, least: 1, most: 9 });
  });
});
