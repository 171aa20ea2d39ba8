import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { loadConfig } from 'locmoe/internal/config/resolve';
import { describe, expect, it } from 'vitest';
import { type Cell, isHeadline, settingsOf } from '../../step/cells.js';
import { activeParameters, communicationShare, figuresOf, shareOfLimit } from '../../step/figures.js';
import { keepMachine, processorHere } from '../../step/history.js';
import { scopeOf } from '../../step/turns.js';
import { callStudy, MADE, temporaryFolder } from '../support.js';
import { stepRun, turnResult } from './support.js';

describe('shares', () => {
  it('are parts of the median step', () => {
    expect(communicationShare(stepRun(100))).toBeCloseTo(0.2, 12);
  });

  it('count the parameters that a token meets', () => {
    const cell: Cell = { model: 'small', layout: '2x2', sweep: null };
    const config = loadConfig('small', { sets: settingsOf(cell, 'small', []) });
    const layer = 4 * 256 ** 2;
    const feedForward = 2 * 256 * 1024;
    const dense = 4096 * 256 + 4 * layer + 2 * feedForward + 2 * 256 * 8;
    expect(activeParameters(config, 1)).toBe(dense + 2 * feedForward);
    expect(activeParameters(config, 0.75)).toBe(dense + 1.5 * feedForward);
    const flop = 6 * activeParameters(config, 1) * 10_000;
    expect(shareOfLimit(stepRun(100), config, 1, 2 * flop)).toBeCloseTo(0.5, 12);
  });
});

const { cells } = scopeOf([]);
const measured = {
  recipe: { config: 'small', set: [] },
  cells,
  turns: [1, 1.1, 1.3].flatMap((slow) =>
    cells.map((cell) => turnResult(cell, 100 * slow, 150 * slow, isHeadline(cell) ? 90 * slow : undefined)),
  ),
  sgemmFlopsPerS: 2e11,
  peer: { python: '/usr/bin/python3', version: '2.6.0', kernels: 'SkylakeX' },
};

it('writes figures and tables, and keeps what people wrote', async () => {
  const figures = figuresOf(measured);
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
  expect(figures.small!.shareOfLimit).toBeLessThan(figures.medium!.shareOfLimit);

  const out = temporaryFolder();
  const processor = { name: 'EPYC', numbers: '1-2-3', vectors: ['avx2'], caches: ['L2 512K'] };
  keepMachine(out, { ...figures, ...MADE, processor, measuredAt: '2026-11-29T00:00:00Z' });
  const older = { ...figures, ...MADE, sgemmFlopsPerS: 1e11, measuredAt: '2026-11-28T00:00:00Z' };
  keepMachine(out, { ...older, processor: { ...processor, numbers: null } });
  const page = async () => {
    await callStudy('step', '--report', '--out', out);
    return readFileSync(path.join(out, 'step.md'), 'utf8');
  };
  const markdown = await page();
  expect(markdown).toMatch(
    /\| EPYC 1-2-3 \| 2026-11-29 \| avx2 \| L2 512K \| SkylakeX \| 200 \| 1\.50x, 3\.00x \|.*\n\| EPYC \| 2026-11-28 \|.*\| 100 \|/,
  );
  expect(markdown).toContain('| 2x2 | locmoe | 9,091 (7,692 to 10,000) | 1.50x | 110 (100 to 130) | 0.75 |');
  expect(markdown).toContain('| small-2x2 | 3 | 30 | 2.0e-6 | 4.0e-3 |');

  writeFileSync(path.join(out, 'step.md'), markdown.replace('_Nothing written yet._', 'Two cores bound it.'));
  expect(await page()).toContain('Two cores bound it.');
});

it('says nothing of what was not timed', async () => {
  const cell: Cell = { model: 'small', layout: '1x1', sweep: null };
  const figures = figuresOf({ ...measured, cells: [cell], turns: [turnResult(cell, 100, 150)] });
  expect(figures).toMatchObject({ small: null, medium: null });
  const out = temporaryFolder();
  keepMachine(out, { ...figures, ...MADE, processor: processorHere(), measuredAt: new Date().toISOString() });
  await callStudy('step', '--report', '--out', out);
  expect(readFileSync(path.join(out, 'step.md'), 'utf8')).not.toMatch(/svg|medium-|undefined/);
});
