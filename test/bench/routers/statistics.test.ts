import { describe, expect, it } from 'vitest';
import {
  calinskiHarabasz,
  cumulativeLoad,
  Histogram,
  median,
  quantile,
  spreadOf,
} from '../../../src/bench/routers/statistics.js';

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

describe('calinskiHarabasz', () => {
  // Clusters {(0,0), (2,0)} and {(10,0), (10,4)}: centres (1,0) and (10,2), the whole's (5.5, 1).
  // Between: 2 (4.5^2 + 1) + 2 (4.5^2 + 1) = 85; within: 1 + 1 + 4 + 4 = 10.
  const points = Float32Array.of(0, 0, 2, 0, 10, 0, 10, 4);

  it('is the scatter between over the scatter within', () => {
    expect(calinskiHarabasz(points, Int32Array.of(0, 0, 1, 1))).toBeCloseTo(8.5, 12);
  });

  it('does not depend on the names or the order of clusters', () => {
    expect(calinskiHarabasz(points, Int32Array.of(7, 7, 3, 3))).toBeCloseTo(8.5, 12);
  });

  it('leaves out points without a cluster', () => {
    const more = Float32Array.of(...points, 1000, -1000);
    expect(calinskiHarabasz(more, Int32Array.of(0, 0, 1, 1, -1))).toBeCloseTo(8.5, 12);
  });

  it('is nothing for one cluster', () => {
    expect(calinskiHarabasz(points, Int32Array.of(0, 0, 0, 0))).toBe(0);
  });
});

describe('Histogram', () => {
  it('counts shares, with what lies outside in the outermost bins', () => {
    const histogram = new Histogram(-1, 1, 4);
    for (const value of [-1, -0.6, 0, 0.49, 1, 3, -3, 0.5]) histogram.add(value);
    expect(histogram.counts).toEqual([3, 0, 2, 3]);
    expect(histogram.shares[0]).toEqual({ middle: -0.75, share: 0.375 });
  });

  it('has no shares before the first value', () => {
    expect(new Histogram(0, 1, 2).shares.map(({ share }) => share)).toEqual([0, 0]);
  });
});

describe('cumulativeLoad', () => {
  it('adds up the busiest first', () => {
    expect(cumulativeLoad([1, 5, 0, 4])).toEqual([0.5, 0.9, 1, 1]);
  });
});
