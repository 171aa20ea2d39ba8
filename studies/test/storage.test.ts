import { expect, it } from 'vitest';
import type { Figures } from '../storage/study.js';
import { pageOf } from './support.js';

const size = {
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
const figures: Figures = {
  experts: { 512: size },
  mixed: { 8: { ...size, hits: 1 }, 512: size },
  limitMB: 900,
  limit: { numExperts: 512, steps: 40, file: { stepMs: 300 }, memory: 'rank 0 was killed' },
};

it('says what both kinds take, and how they end under a limit', async () => {
  const page = await pageOf('storage', figures);
  for (const line of [
    '| peak memory, experts in a file | 600 MB |',
    '| of these in memory before it | 100.0 % | 12.5 % |',
    '| wait for both a step | 91.3 ms |',
    '| times as long | 2.50 |',
    '| in a file | trains all 40 steps, 300.0 ms a step, and saves its checkpoint |',
    '| in memory | rank 0 was killed |',
    'Made by `a command` on a machine.',
  ])
    expect(page.split('\n')).toContain(line);
  expect(page).not.toContain('Not measured');
});

it('says that there was no limit to be had', async () => {
  const page = await pageOf('storage', { ...figures, limit: null, limitMB: null });
  expect(page).toMatch(/^Not measured: that takes .* a memory cgroup/m);
  expect(page).not.toContain('what came of it');
});
