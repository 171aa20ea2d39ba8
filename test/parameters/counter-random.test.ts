import { describe, expect, it } from 'vitest';
import { CounterRandom } from '../../src/parameters/counter-random.js';

describe('CounterRandom', () => {
  it('is a function of seed, name and index alone', () => {
    const a = new CounterRandom(1, 'a');
    expect(a.uniform(5)).toBe(new CounterRandom(1, 'a').uniform(5));
    const others = [
      new CounterRandom(2, 'a'),
      new CounterRandom(1, 'b'),
      new CounterRandom(2 ** 32 + 1, 'a'),
    ];
    for (const other of others) expect(other.uniform(5)).not.toBe(a.uniform(5));
  });

  it('draws a normal distribution', () => {
    const values = new Float32Array(100_001);
    new CounterRandom(1, 'normal').fillNormal(values, 2);
    const moment = (k: number) => values.reduce((sum, value) => sum + (value / 2) ** k, 0) / values.length;
    // Four standard errors of the k-th moment of 1e5 draws.
    expect(Math.abs(moment(1))).toBeLessThan(0.013);
    expect(Math.abs(moment(2) - 1)).toBeLessThan(0.018);
    expect(Math.abs(moment(3))).toBeLessThan(0.05);
    expect(Math.abs(moment(4) - 3)).toBeLessThan(0.13);
  });

  it('draws neighbours and different names independently', () => {
    const n = 100_000;
    const draw = (name: string) => {
      const values = new Float32Array(n);
      new CounterRandom(1, name).fillNormal(values, 1);
      return values;
    };
    const [a, b] = [draw('layers.0.experts.0.w_in'), draw('layers.0.experts.1.w_in')];
    const correlation = (x: Float32Array, y: Float32Array) =>
      x.reduce((sum, value, i) => sum + value * (y[i] ?? 0), 0) / n;
    for (const value of [correlation(a, b), correlation(a, a.subarray(1)), correlation(a, a.subarray(2))])
      expect(Math.abs(value)).toBeLessThan(0.013);
  });

  it('permutes', () => {
    const order = new CounterRandom(1, 'order').permutation(1000);
    expect(Array.from(order).sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
    const fixed = order.filter((value, i) => value === i).length;
    expect(fixed).toBeLessThan(8);
  });
});
