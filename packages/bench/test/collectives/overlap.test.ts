import { expect, it } from 'vitest';
import { measureOverlap } from '../../src/collectives/measure-overlap.js';

it('times a sparse layer in turn and overlapped, whose results are the same bits', async () => {
  const rows = await measureOverlap({ repetitions: 1, signal: new AbortController().signal });
  expect(rows.map(({ what }) => what)).toEqual([
    'experts alone',
    'one after the other',
    'degree 2',
    'degree 4',
  ]);
  for (const { what, ms, gbps } of rows) {
    expect(ms.median, what).toBeGreaterThan(0);
    expect(gbps, what).toBeGreaterThan(0);
  }
});
