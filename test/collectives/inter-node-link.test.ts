import { spawnRanks } from '@locmoe/test-kit';
import { expect, it } from 'vitest';

it('slows the streams between nodes to the speed asked for', async () => {
  const program = new URL('./inter-node-link.program.ts', import.meta.url);
  // 0.04 Gb/s is 5 MB/s: 500,000 bytes take 100 ms. The ring holds them all, so that credit does not matter.
  const { ranks } = await spawnRanks<{ barrierMs: number; exchangeMs: number }>(
    { numNodes: 2, workersPerNode: 1 },
    program,
    { interNodeLink: { gbps: 0.04, latencyMs: 50 }, ringBytes: 1 << 20 },
  );
  for (const { result } of ranks) expect(result?.exchangeMs).toBeGreaterThan(100);
  expect(Math.max(...ranks.map(({ result }) => result?.barrierMs ?? 0))).toBeGreaterThan(45);
});
