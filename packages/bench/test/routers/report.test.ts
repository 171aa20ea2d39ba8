import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { loadConfig } from 'locmoe/config/resolve';
import { expect, it, onTestFinished } from 'vitest';
import { Comparison } from '../../src/routers/comparison.js';
import { allCells, type VariantId } from '../../src/routers/jobs.js';
import { writeReport } from '../../src/routers/report.js';
import { cellOfRuns } from './support.js';

const MS: Readonly<Partial<Record<VariantId, number>>> = {
  hash: 260,
  switch: 250,
  locmoe: 200,
  'locmoe-plus': 150,
  'locmoe-plus-tcr': 190,
  'locmoe-plus-ecr': 170,
};

/** The complete comparison with invented figures. */
const runs = allCells().flatMap((cell) =>
  cellOfRuns(cell, (variant, seed) => {
    const ms = MS[variant] ?? 240;
    const median = ms * (1 + seed / 50);
    return {
      stepMs: { median, p10: median - 5, p90: median + 5 },
      composition: {
        computation: 0.5 * median,
        communication: 0.05 * median,
        waitingInAllToAll: 0.25 * median,
        waitingElsewhere: 0.15 * median,
        other: 0.05 * median,
      },
      curve: [1, 10, 20].map((step) => ({
        step,
        tokensPerExpert: ms - (variant.startsWith('locmoe') ? step : 0),
        localShare: 0.5,
      })),
      localShare: 0.4 + 52 / ms + seed / 100,
      loadByLayer: [[ms, 150, 100, 250 - seed]],
      allToAllShare: 0.22,
    };
  }),
);

const timing = { median: 10, p10: 9, p90: 12 };
const report = {
  comparison: new Comparison(runs),
  calibration: {
    link: { gbps: 0.5, latencyMs: 0.1 },
    share: 0.23,
    trials: [
      { link: null, share: 0.12 },
      { link: { gbps: 0.5, latencyMs: 0.1 }, share: 0.23 },
    ],
  },
  cost: [
    { gate: 'dense', dModel: 256, numExperts: 8, forwardUs: timing, forwardBackwardUs: timing },
  ] as const,
  config: loadConfig('routers'),
  numPlanned: runs.length + 2,
  command: 'locmoe bench routers',
};

it('writes figures, tables and pictures, and keeps what people wrote', async () => {
  const out = mkdtempSync(path.join(tmpdir(), 'locmoe-report-'));
  onTestFinished(() => rmSync(out, { recursive: true }));
  await writeReport({ ...report, out });
  const figures = JSON.parse(readFileSync(path.join(out, 'routers.json'), 'utf8'));
  expect(figures.locmoePlus.stepTimeVsBaseline).toBeCloseTo(-0.4, 4);

  const file = path.join(out, 'routers.md');
  const markdown = readFileSync(file, 'utf8');
  expect(markdown).toContain(`2 of ${runs.length + 2} runs are still missing`);
  expect(markdown).toContain('| LocMoE+: step time against switch | -5.4 % to -46.6 % | -40.0 % | no |');
  expect(markdown).toContain('- LocMoE+: step time against switch: -40.0 %; papers: -5.4 % to -46.6 %');
  const notes = markdown.match(/The perplexity of hash \(first come\) is not to be compared/g);
  // Of each cell, and of the picture.
  expect(notes).toHaveLength(allCells().length + 1);
  expect(markdown).toMatch(/\| LocMoE \| 208 \(204 to 212\) \| -20\.0 % \|/);

  const pictures = readdirSync(out).filter((name) => name.endsWith('.svg'));
  expect(pictures).toHaveLength(8);
  for (const picture of pictures) {
    expect(markdown).toContain(`](${picture})`);
    const svg = readFileSync(path.join(out, picture), 'utf8');
    expect(svg).toMatch(/^<svg [\s\S]*LocMoE[\s\S]*<\/svg>\n$/);
    expect(svg).not.toMatch(/NaN|undefined|Infinity/);
  }

  writeFileSync(file, markdown.replace('_Nothing written yet._', 'Two cores bound it.'));
  await writeReport({ ...report, out });
  expect(readFileSync(file, 'utf8')).toContain('Two cores bound it.');
});
