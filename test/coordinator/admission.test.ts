import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/resolve.js';
import { VERSION } from '../../src/rpc/version.js';
import { coordinatorOf } from './coordinator-of.js';

describe('a restart that may go on without lost nodes', () => {
  const restart = () => {
    const config = loadConfig('tiny', { nodes: 4, workersPerNode: 1 });
    const { coordinator } = coordinatorOf(config, {
      nodesAreReplaceable: true,
      grace: { ms: 2_000, numRejoining: 2 },
      numSufficing: (numNodes) => Math.min(numNodes, 4),
    });
    const { admission } = coordinator;
    const join = (pid: number) => {
      const dataAddress = `127.0.0.1:${pid}`;
      const { node } = admission.join({ host: 'h', pid, dataAddress, version: VERSION });
      admission.connect(node, dataAddress, { send: () => undefined, close: () => undefined });
    };
    return { admission, join };
  };

  it('waits its grace for them, and for those that left in order as long as for all', () => {
    const { admission, join } = restart();
    expect(admission.timeoutMs).toBe(60_000);
    join(11);
    expect(admission.timeoutMs).toBe(60_000);
    join(12);
    expect(admission.timeoutMs).toBe(2_000);
  });

  it('has nobody to take in while all its places are taken', () => {
    const { admission, join } = restart();
    for (const pid of [11, 12, 13, 14]) join(pid);
    expect(() => join(15)).toThrow(expect.objectContaining({ code: 'RUN_FULL' }));
    expect(admission.numAsking).toBe(0);
  });
});
