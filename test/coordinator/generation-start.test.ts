import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/resolve.js';
import { nodesThatSuffice, withNodes } from '../../src/coordinator/generation-start.js';

const config = (minNodes: number | null) =>
  loadConfig('tiny', {
    nodes: 4,
    workersPerNode: 1,
    sets: minNodes === null ? [] : [`cluster.minNodes=${minNodes}`],
  });

describe('a restart with fewer nodes', () => {
  it('takes as many of those that came as divide experts and batch evenly', () => {
    expect([4, 3, 2, 1, 0].map((came) => nodesThatSuffice(config(1), came))).toEqual([4, 2, 2, 1, 0]);
    expect([3, 2, 1].map((came) => nodesThatSuffice(config(2), came))).toEqual([2, 2, 0]);
  });

  it('is not made unless it is allowed', () => {
    expect(nodesThatSuffice(config(null), 2)).toBe(0);
  });

  it('keeps the global batch', () => {
    const fewer = withNodes(config(2), 2);
    expect(fewer.cluster.nodes).toBe(2);
    expect(fewer.train).toEqual(config(2).train);
  });
});
