import { describe, expect, it } from 'vitest';
import { calinskiHarabasz, cumulativeLoad, Histogram, shareOfSame } from '../../routers/distributions.js';

describe('shareOfSame', () => {
  it('counts tokens that have an expert twice', () => {
    expect(shareOfSame(Int32Array.of(0, 1, 2, -1, 3, 4), Int32Array.of(0, 2, 2, -1, -1, 4))).toBe(3 / 4);
  });

  it('is NaN without any', () => {
    expect(shareOfSame(Int32Array.of(-1), Int32Array.of(2))).toBeNaN();
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
