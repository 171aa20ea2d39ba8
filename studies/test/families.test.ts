import { expect, it } from 'vitest';
import type { Figures } from '../families/study.js';
import { callStudy, pageOf, temporaryFolder } from './support.js';

const forms = {
  recipe: 'tiny',
  steps: 4,
  seeds: 2,
  rows: [
    { family: 'pangu-sigma', router: 'hash', losses: [Math.log(40), Math.log(90)], stepMs: 200 },
    { family: 'mixtral', router: 'hash', losses: [Math.log(30), Math.log(30)], stepMs: 250 },
  ],
};
const run = (ofNew: number, old: number, stepMs: number) => ({
  before: { new: Math.log(900), old: Math.log(40) },
  after: { new: Math.log(ofNew), old: Math.log(old) },
  stepMs,
  optimizerBytes: 8e6,
  checkpointBytes: 30_000_000,
});
const figures: Figures = {
  ...forms,
  use: {
    window: 2048,
    parameters: 20_600_000,
    numHeads: 8,
    newTokens: 40,
    generation: {
      prompts: [{ promptTokens: 2000, prefillMs: 500, tokensPerS: 123.4 }],
      peakBytes: 400e6,
    },
    tokensPerStep: 8192,
    lengths: [{ seqLen: 2048, stepMs: 4000, peakBytes: 1_500_000_000 }],
  },
  sizes: {
    parameters: 1_000_000,
    files: [
      { type: 'float32', bytes: 4_000_000 },
      { type: 'q8_0', bytes: 1_062_500 },
    ],
  },
  lora: {
    recipe: 'mixtral-tiny',
    newDomain: 'code',
    rank: 8,
    baseSteps: 300,
    steps: 120,
    tokens: 245_760,
    parameters: 1_000_000,
    arms: [
      { tuned: 'all weights', trained: 1_000_000, runs: [run(30, 90, 300), run(34, 110, 400)] },
      { tuned: 'pairs beside the attention', trained: 20_000, runs: [run(60, 50, 200), run(60, 50, 200)] },
    ],
  },
};

it('has a table for each part', async () => {
  const page = await pageOf('families', figures);
  for (const line of [
    '| mixtral | hash | 30.0 | 30.0, 30.0 | -50.0 % | 250 | +25.0 % |',
    '400 MB at its peak.',
    '| 2000 | 500 | 4,000 | 123 |',
    // 4 bytes x 8,192 tokens x 8 heads x 2,048 positions
    '| 2048 | 4000 | 1,500 | 537 |',
    '| q8_0 | 1.1 | 8.50 | 26.6 % |',
    '| nothing yet |  | 900.0 | 40.0 |  |  |  |',
    '| all weights | 1,000,000 (100.0 %) | 32.0 (30.0 to 34.0) | 100.0 (90.0 to 110.0) | 350 | 8.0 | 30.0 |',
    '| pairs beside the attention | 20,000 (2.0 %) | 60.0 | 50.0 | 200 | 8.0 | 30.0 |',
  ])
    expect(page.split('\n')).toContain(line);
  expect(page).not.toMatch(/NaN|undefined|null/);
});

it('leaves out what was not measured', async () => {
  const rows = forms.rows.map((row) => ({ ...row, losses: [], stepMs: null }));
  const page = await pageOf('families', { ...forms, rows });
  expect(page).toContain('| mixtral | hash |  |  |  |  |  |\n');
  expect(page).not.toMatch(/NaN|undefined|null|^## /m);
});

it('refuses an unknown part before it measures', async () => {
  const folder = temporaryFolder();
  // Without a recipe nothing can be measured in any case.
  const args = ['--only', 'use,szies', '--config', 'none', '--work-dir', folder, '--out', folder];
  await expect(callStudy('families', ...args)).rejects.toThrow(
    '--only szies: no such part; parts are loss, time, use, sizes, lora',
  );
});
