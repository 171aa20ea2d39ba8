import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { RunResult } from '../../routers/comparison.js';
import { type Figures, figuresOf } from '../../routers/figures.js';
import { allCells } from '../../routers/jobs.js';
import { VARIANTS, type VariantId } from '../../routers/variants.js';
import { callStudy, pageOf, temporaryFolder } from '../support.js';
import { cellOfRuns, qualityJob, qualityRuns, runResult } from './support.js';

const MS: Readonly<Partial<Record<VariantId, number>>> = {
  hash: 260,
  switch: 250,
  locmoe: 200,
  'locmoe-plus': 150,
  'locmoe-plus-tcr': 190,
  'locmoe-plus-ecr': 170,
};
const msOf = (variant: VariantId) => MS[variant] ?? 240;

/** The complete comparison with invented figures. */
const timed = allCells().flatMap((cell) =>
  cellOfRuns(cell, (variant, seed) => {
    const ms = msOf(variant);
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
      localShare: 0.4 + 52 / ms + seed / 100,
      allToAllShare: 0.22,
    };
  }),
);
const learned = qualityRuns((variant, seed) => {
  const end = variant === 'locmoe-plus' ? 21 : 20;
  const perplexity = end * (1 + seed / 1000) * (variant === 'locmoe' ? 1 + seed / 10_000 : 1);
  return {
    perplexity,
    validations: [
      { step: 10, perplexity: 2 * perplexity },
      { step: 20, perplexity },
    ],
    tokensPerExpertOfAllSteps: msOf(variant),
    tokensPerExpertOfLastQuarter: msOf(variant),
    curve: [1, 10, 20].map((step) => ({
      step,
      tokensPerExpert: msOf(variant) - (variant.startsWith('locmoe') ? step : 0),
      localShare: 0.5,
    })),
    loadByLayer: [[msOf(variant), 150, 100, 250 - seed]],
  };
});
const frontier = (['switch', 'locmoe-plus-random', 'hash-first-come'] as const).flatMap((variant) =>
  VARIANTS[variant].capacities!.map((capacity, i) =>
    runResult(qualityJob(variant, 1, capacity), { tokensPerExpertOfAllSteps: 100 * (i + 1) }),
  ),
);

const timing = { median: 10, p10: 9, p90: 12 };
const kept = (runs: readonly RunResult[]) => runs.map((run) => ({ ...run, key: 'a digest' }));
const measured = {
  runs: kept([...learned, ...frontier, ...timed]),
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
  recipe: 'routers-large',
  numExperts: 4,
  dense: null,
  planned: { quality: learned.length + frontier.length, time: timed.length + 2 },
};

it('writes figures, tables and pictures, and keeps what people wrote', async () => {
  const out = temporaryFolder();
  const figures = figuresOf(measured);
  expect(figures.locmoePlus.tokensPerExpertVsBaseline).toBeCloseTo(-0.4, 4);
  expect(figures.equivalence.locmoe!.p).toBeLessThan(0.05);
  expect(figures.timeToBaselinePerplexity).toMatchObject({ hash: 1.04, 'locmoe-plus': null });

  const markdown = await pageOf('routers', figures, out);
  expect(markdown).toContain(`2 of ${timed.length + 2} runs for time are still missing`);
  expect(markdown).not.toContain('runs for quality are still missing');
  expect(markdown).toMatch(
    /\| near-hash selection: step time against switch \+ token preference \| LocMoE\+: -5\.4 % to -46\.6 % \| -40\.0 % \(-40\.0 % to -40\.0 %\) \| at most -5\.4 % \| < 0\.001 \| < 0\.001 \| shown \|/,
  );
  expect(markdown).toMatch(
    /\| near-hash selection: perplexity against switch \+ token preference \| .* \| \+5\.0 % \(.*\) \| equal within 1\.0 % \| 1\.000 \| 1\.000 \| not equal \|/,
  );
  expect(markdown).toMatch(/\| near-hash selection \| does not get there \| 0\.60 \| {2}\|/);
  expect(markdown).toMatch(
    /\| LocMoE \+ token preference \| 20\.04 \(.*\) \| \+0\.0 % \(-0\.0 % to \+0\.0 %\), p < 0\.001: equal \|/,
  );
  expect(markdown).toMatch(
    /\| router \| step 10 \| step 20 \|\n.*\n(?:\|.*\n)*\| LocMoE \+ token preference \| 40\.09 \| 20\.04 \|\n/,
  );
  expect(markdown).toContain(
    'The exception is near-hash selection (TCR only) and hash (first come): trained on a part of the tokens',
  );
  expect(markdown).toContain(
    '- two-level hash (RRE) (`hash-two-level`): `moe.router=hash`, a group of experts for each node (level 1)',
  );
  // 150 tokens lie between 100 and 200 of both controls.
  expect(markdown).toMatch(
    /\| near-hash selection \| `capacityFactor=0\.37` \| 150 \| -40\.0 % \| 20\.09 \| 20\.09 \| 12\.18 \|/,
  );
  expect(markdown).toMatch(/\| LocMoE \+ token preference \| 208 \(204 to 212\) \| -20\.0 % \| -16\.7 % \|/);
  // Half and a quarter of the step.
  expect(markdown).toMatch(
    /\| LocMoE \+ token preference \| 208 .* \| 104 \(102 to 106\) \| 52 \(51 to 53\) \|/,
  );

  const pictures = readdirSync(out).filter((name) => name.endsWith('.svg'));
  expect(pictures).toHaveLength(10);
  for (const picture of pictures) {
    expect(markdown).toContain(`](${picture})`);
    const svg = readFileSync(path.join(out, picture), 'utf8');
    expect(svg).toMatch(/^<svg [\s\S]*LocMoE[\s\S]*<\/svg>\n$/);
    expect(svg).not.toMatch(/NaN|undefined|Infinity/);
  }

  writeFileSync(
    path.join(out, 'routers.md'),
    markdown.replace('_Nothing written yet._', 'Two cores bound it.'),
  );
  expect(await pageOf('routers', figures, out)).toContain('Two cores bound it.');
});

it.each([
  ['quality', learned],
  ['time', timed],
])('reports what there is: %s alone', async (_, runs) => {
  const calibration = runs === timed ? measured.calibration : null;
  const markdown = await pageOf('routers', figuresOf({ ...measured, runs: kept(runs), calibration }));
  expect(markdown).toContain(runs === timed ? '_No run yet._' : '_Not searched yet._');
  expect(markdown).not.toMatch(/NaN|undefined|Infinity/);
});

describe('docs/results', () => {
  const results = fileURLToPath(new URL('../../../docs/results', import.meta.url));
  const read = (folder: string): Figures =>
    JSON.parse(readFileSync(path.join(results, folder, 'routers.json'), 'utf8'));

  it('has the pictures of what the kept runs from a dense model have learned', async () => {
    const out = temporaryFolder();
    const page = await pageOf('routers', { ...read('inherited'), allToAllShareOfBaselineStep: null }, out);
    const drawn = readdirSync(out).filter((name) => name.endsWith('.svg'));
    expect(drawn).toHaveLength(7);
    const shown = readFileSync(path.join(results, 'inherited/routers.md'), 'utf8');
    for (const name of drawn) {
      expect(readFileSync(path.join(out, name), 'utf8'), name).toBe(
        readFileSync(path.join(results, 'inherited', name), 'utf8'),
      );
      expect(shown).toContain(`](${name})`);
    }
    const section = (text: string, title: string) => text.split(`\n## ${title}\n`)[1]!.split('\n## ')[0];
    for (const title of [
      'Names',
      'Equal quality?',
      'The price of fewer tokens',
      'What looking at the batch is worth',
    ])
      expect(section(page, title), title).toBe(section(shown, title));
  });

  it.each(['', 'inherited'])('writes no page anew whose runs were not kept: %s', async (folder) => {
    const out = temporaryFolder();
    writeFileSync(path.join(out, 'routers.json'), JSON.stringify(read(folder)));
    await expect(callStudy('routers', '--report', '--out', out)).rejects.toThrow(
      '--report: the runs behind this routers.json were not kept',
    );
  });
});
