import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { loadTokenizer } from 'locmoe/internal/data/tokenizer/tokenizer';
import { openInference } from 'locmoe/internal/inference/inference';
import { afterAll, expect, it } from 'vitest';
import { textOfDomains, trainedCheckpoint } from '../../../packages/export/test/trained.js';
import { NIGHTLY } from '../../../test/nightly.js';
import { ENGINES, measureAgreement } from '../../routes/agreement.js';
import { referenceOf, type Taken, windowsOf } from '../../routes/taken.js';

const TOKENS = 480;
/** By day one router is tried with all engines, and the others with those that start at once. */
const AT_ONCE = ENGINES.filter(
  ([name, precision]) => precision === 'float32' && !/Chromium|Python/.test(name),
);
const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-agreement-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function modelOf(router: string) {
  const checkpoint = trainedCheckpoint(mkdtempSync(path.join(folder, 'model-')), router);
  const tokenizer = loadTokenizer(checkpoint.tokenizerFile);
  const domains = textOfDomains().map((text) => ({ train: { ids: tokenizer.encode(text.slice(0, 5000)) } }));
  return { checkpoint, dataset: { domains } };
}

function place(router: string) {
  const lines: string[] = [];
  const workDir = path.join(folder, router);
  const options = { ...modelOf(router), tokens: TOKENS, workDir, signal: new AbortController().signal };
  return { ...options, log: (line: string) => lines.push(line), lines };
}

it.each(['hash', 'switch', 'expert-choice', 'locmoe', 'locmoe-plus', 'moge'])(
  'all engines choose the same experts with %s, in float32',
  async (router) => {
    const given = place(router);
    const tried = NIGHTLY || router === 'locmoe-plus' ? ENGINES : AT_ONCE;
    const { engines, tokens, layers } = await measureAgreement(given, tried);
    expect(tokens).toBe(TOKENS);
    for (const { engine, precision, compared, different, ties, missing } of engines) {
      if (missing !== null) {
        console.warn(`SKIPPED: ${engine}, ${precision}: ${missing}`);
        continue;
      }
      expect(compared, engine).toBe(tokens * layers);
      if (precision === 'float32') expect([engine, different]).toEqual([engine, 0]);
      expect(ties, engine).toBeLessThan(5);
    }
    expect(given.lines[0]).toMatch(
      /^\S+, trainer, two nodes, float32: 100\.0000 % of 960 equal; 0 differ, and 0 at/,
    );
  },
);

it('counts what an engine chooses otherwise, and apart what is a tie', async () => {
  const given = place('switch');
  const windows = windowsOf(given.checkpoint.manifest.config, given.dataset, TOKENS);
  const inference = openInference(given.checkpoint);
  const { taken, gaps } = referenceOf(inference.model, windows);
  expect(gaps[0]!.every((gap) => gap > 0 && Number.isFinite(gap))).toBe(true);
  const wrong: Taken = taken.map((bits, layer) =>
    bits.map((each, t) => (layer === 1 && t < 3 ? each << 1 : each)),
  );
  const { engines } = await measureAgreement(given, [['wrong', 'float32', async () => wrong]]);
  expect(engines).toEqual([
    { engine: 'wrong', precision: 'float32', compared: 960, different: 3, ties: 0, missing: null },
  ]);
  expect(given.lines[0]).toMatch(/wrong, float32: 99\.6875 % of 960 equal; 3 differ, and 0 at a tie/);
  inference.model.dispose();
});
