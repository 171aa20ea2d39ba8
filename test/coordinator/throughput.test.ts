import { Throughput } from '@locmoe/run-format';
import { describe, expect, it } from 'vitest';
import { formatCount, formatDuration, formatNumberOf, formatShare } from '../../src/format.js';

describe('Throughput', () => {
  it('is the tokens of the last steps over their time, and how long the rest takes', () => {
    let nowMs = 0;
    const throughput = new Throughput(100, Infinity, () => nowMs);
    expect([throughput.tokensPerS, throughput.secondsLeft]).toEqual([0, 0]);
    throughput.add(1, 1000);
    expect([throughput.tokensPerS, throughput.secondsLeft]).toEqual([0, 0]);
    for (let step = 2; step <= 11; step++) {
      nowMs += 500;
      throughput.add(step, 1000);
    }
    expect(throughput.tokensPerS).toBe(2000);
    expect(throughput.secondsLeft).toBe(89 * 0.5);
  });

  it('has no more time left than train.maxHours allows', () => {
    let nowMs = 5000;
    const throughput = new Throughput(100, 10, () => nowMs);
    const left = Array.from({ length: 30 }, (_, i) => {
      throughput.add(i + 1, 1000);
      nowMs += 500;
      return throughput.secondsLeft;
    });
    expect([left[0], left[1], left[2], left[29]]).toEqual([0, 9.5, 9, 0]);
  });

  it('forgets what is long ago', () => {
    let nowMs = 0;
    const throughput = new Throughput(1000, Infinity, () => nowMs);
    for (let step = 1; step <= 200; step++) {
      nowMs += step <= 100 ? 1000 : 100;
      throughput.add(step, 10);
    }
    expect(throughput.tokensPerS).toBeCloseTo(100);
  });
});

describe('formats', () => {
  it('are short and readable', () => {
    expect([formatCount(12345.6), formatShare(0.254)]).toEqual(['12,346', '25 %']);
    expect([0, 59.6, 131, 3600, 86399].map(formatDuration)).toEqual([
      '0s',
      '1m00s',
      '2m11s',
      '1h00m',
      '23h59m',
    ]);
    expect([formatNumberOf(1, 'node'), formatNumberOf(2, 'node')]).toEqual(['1 node', '2 nodes']);
  });
});
