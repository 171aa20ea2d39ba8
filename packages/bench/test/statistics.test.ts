import { expect, it } from 'vitest';
import { median, quantile, spreadOf } from '../src/statistics.js';

it('a quantile lies between the neighbours of its place, and leaves the values as they were', () => {
  const values = [40, 10, 20, 30];
  expect(median(values)).toBe(25);
  expect(values).toEqual([40, 10, 20, 30]);
  expect(quantile([10, 20, 30, 40, 50], 0.1)).toBeCloseTo(14, 12);
  expect(quantile([7], 0.9)).toBe(7);
  expect(quantile([], 0.5)).toBeNaN();
  expect(spreadOf([5, 9, 1])).toEqual({ median: 5, least: 1, most: 9 });
});
