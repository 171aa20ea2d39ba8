import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import type { Cell } from '../../src/step/models.js';
import { writeReport } from '../../src/step/report.js';
import { Results } from '../../src/step/results.js';
import { isHeadline, scopeOf } from '../../src/step/turns.js';
import { turnResult } from './support.js';

const { cells } = scopeOf([]);
const report = {
  results: new Results(
    [1, 1.1, 1.3].flatMap((slow) =>
      cells.map((cell) => turnResult(cell, 100 * slow, 150 * slow, isHeadline(cell) ? 90 * slow : undefined)),
    ),
  ),
  sgemmFlopsPerS: 2e11,
  peer: { python: '/usr/bin/python3', version: '2.6.0' },
  recipe: 'small',
  sets: [],
  machine: 'two cores',
  command: 'locmoe bench step --peer torch',
};

it('writes figures, tables and pictures, and keeps what people wrote', async () => {
  const out = mkdtempSync(path.join(tmpdir(), 'locmoe-report-'));
  onTestFinished(() => rmSync(out, { recursive: true }));
  await writeReport({ ...report, out });
  const figures = JSON.parse(readFileSync(path.join(out, 'step.json'), 'utf8'));
  expect(Object.keys(figures)).toEqual(['small', 'medium', 'machine', 'command']);
  const float32 = {
    tokensPerS: 9091,
    tokensPerSVsPeer: 1.5,
    shareOfLimit: expect.any(Number),
    optimizerShare: 0.01818,
    communicationShare: 0.1818,
    peakMemoryVsPeer: 0.5,
  };
  expect(figures.medium).toEqual({
    ...float32,
    float32,
    bfloat16: {
      ...float32,
      tokensPerS: 18180,
      tokensPerSVsPeer: 3,
      optimizerShare: 0.03636,
      communicationShare: 0.3636,
    },
    peer: { name: 'PyTorch + Gloo', precision: 'float32' },
  });
  expect(figures.small.shareOfLimit).toBeLessThan(figures.medium.shareOfLimit);

  const file = path.join(out, 'step.md');
  const markdown = readFileSync(file, 'utf8');
  expect(markdown).toContain('| 2x2 | locmoe | 9,091 (7,692 to 10,000) | 1.50x | 110 (100 to 130) | 0.75 |');
  expect(markdown).toContain('| 2x2 | locmoe (locmoe-plus) |');
  expect(markdown).toContain('| small-2x2 | 3 | 30 | 2.0e-6 | 4.0e-3 |');
  expect(markdown).toContain('| sequence | 256 | 110 (100 to 130) | 165 (150 to 195) | 1.50x |');
  expect(markdown).toContain('PyTorch 2.6.0 with Gloo');

  const pictures = readdirSync(out).filter((name) => name.endsWith('.svg'));
  expect(pictures).toEqual(['step-parts.svg', 'step-ranks.svg', 'step-sizes.svg']);
  for (const picture of pictures) {
    expect(markdown).toContain(`](${picture})`);
    const svg = readFileSync(path.join(out, picture), 'utf8');
    expect(svg).toMatch(/^<svg [\s\S]*PyTorch[\s\S]*<\/svg>\n$/);
    expect(svg).not.toMatch(/NaN|undefined|Infinity/);
  }

  writeFileSync(file, markdown.replace('_Nothing written yet._', 'Two cores bound it.'));
  await writeReport({ ...report, out });
  expect(readFileSync(file, 'utf8')).toContain('Two cores bound it.');
});

it('says nothing of what was not timed', async () => {
  const out = mkdtempSync(path.join(tmpdir(), 'locmoe-report-'));
  onTestFinished(() => rmSync(out, { recursive: true }));
  const cell: Cell = { model: 'small', layout: '1x1', sweep: null };
  const results = new Results([turnResult(cell, 100, 150)]);
  expect(await writeReport({ ...report, results, out })).toMatchObject({ small: null, medium: null });
  expect(readFileSync(path.join(out, 'step.md'), 'utf8')).not.toMatch(/svg|medium-|undefined/);
});
