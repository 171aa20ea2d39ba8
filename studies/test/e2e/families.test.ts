import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { machine } from '../../../packages/bench/src/folders.js';
import { gguf } from '../../../packages/export/src/gguf/gguf.js';
import { DATA_DIR, Locmoe } from '../../../test/e2e/support.js';
import { STUDY, temporaryFolder } from '../support.js';

it('makes parts anew, keeps the figures of the others, and what is finished', async () => {
  const folder = temporaryFolder();
  const file = path.join(folder, 'quick/families.json');
  const rows = [{ family: 'mixtral', router: 'hash', losses: [3.5], stepMs: 300 }];
  const before = { recipe: 'tiny', steps: 7, seeds: 1, rows, machine: machine() };
  mkdirSync(path.dirname(file));
  writeFileSync(file, JSON.stringify(before));
  const call = (...only: readonly string[]) =>
    new Locmoe(
      ['families', '--quick', '--only', only.join(','), '--work-dir', folder, '--data-dir', DATA_DIR],
      {},
      STUDY,
    ).finished;
  const json = () => JSON.parse(readFileSync(file, 'utf8'));

  const first = await call('use', 'sizes', 'lora');
  expect(first.code, first.stdout + first.stderr).toBe(0);
  const { use, sizes, lora, ...rest } = json();
  expect(rest).toMatchObject(before);
  expect(use.generation.prompts.map(({ promptTokens }: { promptTokens: number }) => promptTokens)).toEqual([
    32, 208,
  ]);
  expect(use.lengths.map(({ seqLen }: { seqLen: number }) => seqLen)).toEqual([64, 128, 256]);
  const [float32, float16] = sizes.files;
  expect(sizes.files.map(({ type }: { type: string }) => type)).toEqual(gguf.types);
  expect(float16.bytes / float32.bytes).toBeCloseTo(0.5, 2);

  const [whole, attention, both] = lora.arms;
  expect(whole.trained).toBe(lora.parameters);
  // q and out are [128, 128], k and v [128, 64], in four layers.
  expect(attention.trained).toBe(4 * 8 * (2 * 256 + 2 * 192));
  for (const { trained, runs } of [whole, attention, both]) {
    const [{ before: then, after: now, optimizerBytes }] = runs;
    expect(then).toEqual(whole.runs[0].before);
    expect(now.new).toBeLessThan(then.new);
    expect(optimizerBytes / (8 * trained)).toBeCloseTo(1, 1);
  }

  const second = await call('sizes');
  expect(second.stdout).toMatch(/^2 parts, 2 of them kept from before; about 0s left\nreport: /);
  expect(json()).toMatchObject({ use, sizes, lora });
}, 600_000);
