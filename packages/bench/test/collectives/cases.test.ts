import { describe, expect, it } from 'vitest';
import {
  busGbPerS,
  bytesBetweenNodes,
  layoutName,
  layoutOf,
  repetitionsOf,
  warmUpsOf,
} from '../../src/collectives/cases.js';
import { sampled, spreadOf } from '../../src/collectives/measurements.js';

describe('figures of one case', () => {
  it('counts what a rank must send as bus bandwidth', () => {
    // 3 MB to three other ranks in 1 ms; all-reduce of 4 MB: 2 * 3 / 4 of it in 2 ms.
    expect(busGbPerS({ collective: 'all-to-all', bytes: 1e6 }, 4, 1)).toBe(3);
    expect(busGbPerS({ collective: 'flat all-to-all', bytes: 1e6 }, 4, 1)).toBe(3);
    expect(busGbPerS({ collective: 'all-reduce', bytes: 4e6 }, 4, 2)).toBe(3);
  });

  it('counts the bytes between nodes', () => {
    expect(bytesBetweenNodes({ numNodes: 1, workersPerNode: 4 }, 100)).toBe(0);
    expect(bytesBetweenNodes({ numNodes: 2, workersPerNode: 2 }, 100)).toBe(4 * 2 * 100);
    expect(bytesBetweenNodes({ numNodes: 4, workersPerNode: 1 }, 100)).toBe(4 * 3 * 100);
  });

  it('reads the names of layouts that it writes', () => {
    expect(layoutOf('4x2')).toEqual({ numNodes: 4, workersPerNode: 2 });
    expect(layoutName(layoutOf('4x2'))).toBe('4x2');
  });

  it('repeats for the time of a case, within bounds', () => {
    const repetition = { caseMs: 100, least: 5, most: 50 };
    expect([0.1, 4, 1000].map((ms) => repetitionsOf(repetition, ms))).toEqual([50, 25, 5]);
    expect(warmUpsOf({ collective: 'all-reduce', bytes: 1024 })).toBeGreaterThan(
      warmUpsOf({ collective: 'all-reduce', bytes: 64 << 20 }),
    );
  });
});

describe('figures of several', () => {
  it('are of samples of a millisecond or more', () => {
    expect(sampled([0.25, 0.75, 3, 0.5, 1, 0.1])).toEqual([0.5, 3, 0.75]);
    expect(sampled([0.25, 0.5])).toEqual([0.375]);
  });

  it('are a median with percentiles', () => {
    expect(spreadOf([5, 1, 2, 4, 3])).toEqual({ median: 3, p10: 1.4, p90: 4.6 });
  });
});
