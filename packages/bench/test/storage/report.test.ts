import { expect, it } from 'vitest';
import { markdownOf, type SizeFigures, type StorageFigures } from '../../src/storage/report.js';

const size: SizeFigures = {
  memoryKindMB: 1500,
  residentMB: 600,
  budgetMB: 268,
  storedMB: 805,
  touched: 120.4,
  hits: 0.125,
  memoryKindStepMs: 100,
  stepMs: 250,
  stepTimeVsResident: 2.5,
  bytesIn: 165_200_000,
  bytesOut: 164_000_000,
  exposedWaitMs: 91.25,
};
const figures: StorageFigures = {
  experts: { 512: size },
  mixed: { 8: { ...size, hits: 1 }, 512: size },
  limitMB: 900,
  limit: { numExperts: 512, steps: 40, file: { stepMs: 300 }, memory: 'rank 0 was killed' },
  machine: 'a machine',
  command: 'locmoe bench storage',
};

it('says what both kinds take, and how they end under a limit', () => {
  const report = markdownOf(figures);
  for (const line of [
    '| peak memory, experts in a file | 600 MB |',
    '| of these in memory before it | 100.0 % | 12.5 % |',
    '| wait for both a step | 91.3 ms |',
    '| times as long | 2.50 |',
    '| in a file | trains all 40 steps, 300.0 ms a step, and saves its checkpoint |',
    '| in memory | rank 0 was killed |',
    'Made by `locmoe bench storage` on a machine.',
  ])
    expect(report.split('\n')).toContain(line);
});

it('says that there was no limit to be had', () => {
  const report = markdownOf({ ...figures, limit: null, limitMB: null });
  expect(report).toMatch(/^Not measured: that takes .* a memory cgroup/m);
});
