import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { recipeFile, resolveRecipe } from '../../src/config/recipe.js';
import { resolveConfig } from '../../src/config/resolve.js';
import { textRecipe } from '../../src/config/text-recipe.js';

const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-recipe-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A file of this size without contents; the recipe looks at sizes alone. */
function file(name: string, bytes: number): string {
  const place = path.join(folder, name);
  mkdirSync(path.dirname(place), { recursive: true });
  writeFileSync(place, '');
  truncateSync(place, bytes);
  return place;
}

describe('textRecipe', () => {
  it('fits any size of text, with more of everything for more text', () => {
    const sizes = [6e3, 2e4, 1e5, 2e5, 1e6, 4e6, 2e7, 2e8, 1e10];
    const configs = sizes.map((bytes) => resolveRecipe(textRecipe([file(`size-${bytes}.txt`, bytes)]), {}));
    for (const [i, { model, train }] of configs.entries()) {
      const before = configs[i - 1];
      expect(model.vocabSize).toBeGreaterThanOrEqual(before?.model.vocabSize ?? 257);
      expect(model.dModel).toBeGreaterThanOrEqual(before?.model.dModel ?? 1);
      const tokens = train.steps * train.globalBatch * model.seqLen;
      // Each byte is seen once to four times, and little text more often, as 100 steps are the least; a token has 2 to 4 bytes.
      expect((tokens * 4) / sizes[i]).toBeGreaterThan(0.9);
      expect((tokens * 2) / sizes[i]).toBeLessThan(17);
    }
    expect(configs[0].train.earlyStop).toEqual({ patience: 4, minDelta: 0 });
    expect(configs.at(-1)!.train.earlyStop).toBeNull();
  });

  it('validates on all of the held-out text where that decides when to stop, within a tenth of the time', () => {
    for (const bytes of [6e3, 2e4, 1e5, 2e5, 1e6, 4e6, 1.9e7, 2e7, 2e8, 1e10]) {
      const trainTokens = Math.round(bytes / 3);
      const { model, train, data } = resolveRecipe(
        textRecipe([file(`held-${bytes}.txt`, bytes)], trainTokens),
        {},
      );
      const { validationSequences, validateEvery, globalBatch, earlyStop } = train;
      const { validationShare } = data;
      const heldOut = (trainTokens * validationShare) / (1 - validationShare) / model.seqLen;
      if (earlyStop !== null) expect(validationSequences, `${bytes} bytes`).toBeGreaterThan(heldOut);
      // A forward pass takes a third of a step.
      expect(validationSequences / globalBatch / 3 / validateEvery).toBeLessThanOrEqual(0.1001);
    }
  });

  it('is as long as the tokens ask for, once they are counted', () => {
    const patterns = [file('counted.txt', 1e6)];
    const stepsFor = (tokens: number) => resolveRecipe(textRecipe(patterns, tokens), {}).train.steps;
    // Four passes in batches of 16 sequences of 64 tokens.
    expect(stepsFor(204_800)).toBe(800);
    expect(stepsFor(102_400)).toBe(400);
  });

  it.each([
    ['notes/a.txt', 'notes', 'notes'],
    ['My Notes/**/*.txt', 'text', 'text'],
    ['en/*.txt', 'text', 'text'],
    ['笔记/*.txt', '笔记', 'text'],
    ['Big_Notes/x/../*.txt', 'Big_Notes', 'big-notes'],
  ])('names the domain of %s %s and its runs %s', (pattern, domain, name) => {
    file(pattern.replace(/\*\*\/\*|\*/, 'a'), 1e4);
    const config = resolveRecipe(textRecipe([path.join(folder, pattern)]), {});
    expect(config.data.domains).toEqual([domain]);
    expect(config.name).toBe(name);
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8])('gives each of %i domains experts of its own', (count) => {
    for (const bytes of [1e4, 3e5, 4e6]) {
      const patterns = Array.from({ length: count }, (_, i) => `d_${i}=${file(`many/${i}.txt`, bytes)}`);
      const { moe, data, cluster, train } = resolveRecipe(textRecipe(patterns), {});
      expect(data.domains).toEqual(patterns.map((_, i) => `d_${i}`));
      expect(moe.expertGroups).toBe(count);
      expect(moe.numExperts / count).toBeGreaterThanOrEqual(4);
      expect(train.globalBatch % cluster.workersPerNode).toBe(0);
    }
  });

  it('sees each domain as often as it would be seen alone', () => {
    const patterns = [`small=${file('uneven/a.txt', 5e4)}`, `code=${file('uneven/b.txt', 4e6)}`];
    const { data, moe, train, model } = resolveRecipe(textRecipe(patterns, 1e6), {});
    // Four passes over 50 kB, and three over 4 MB.
    expect(data.weights).toEqual([1, 60]);
    expect(train.steps).toBe(Math.round((3.0123 * 1e6) / (train.globalBatch * model.seqLen) / 10) * 10);
    expect(moe.capacityFactor).toBeNull();
  });

  it('takes NAME=PATTERN, patterns without a name as one domain more, and names that have the sign', () => {
    for (const name of ['eq/a=b.txt', 'eq/c=d/e.txt', 'eq/f.txt']) file(name, 1e4);
    const sourcesOf = (...patterns: string[]) => {
      const { data } = resolveRecipe(textRecipe(patterns), {});
      return data.domains.map((name) => [name, ...data.sources[name]!.files]);
    };
    const folderBefore = process.cwd();
    process.chdir(path.join(folder, 'eq'));
    try {
      expect(sourcesOf('code=f.txt', 'a=b.txt', 'code=c=d/*', 'x=./a=b.txt')).toEqual([
        ['code', 'f.txt', 'c=d/*'],
        ['eq', 'a=b.txt'],
        ['x', './a=b.txt'],
      ]);
      expect(sourcesOf('c=d/*.txt')).toEqual([['text', 'c=d/*.txt']]);
      expect(() => textRecipe(['notes=src/**', 'f.txt'])).toThrow(
        `domain notes: no file matches "src/**" in ${process.cwd()}`,
      );
      expect(() => textRecipe(['notes=', 'f.txt'])).toThrow('--text notes=: a pattern is empty');
      file('eq/little.txt', 10);
      expect(() => textRecipe(['f.txt', 'notes=little.txt'])).toThrow(
        '--text notes=little.txt: 10 bytes of text are too few',
      );
    } finally {
      process.chdir(folderBefore);
    }
  });

  it("takes ~ for the user's folder, which shells leave as it is after the sign", () => {
    file('home/notes.txt', 1e4);
    vi.stubEnv('HOME', path.join(folder, 'home'));
    const { data } = resolveRecipe(textRecipe(['notes=~/*.txt']), {});
    vi.unstubAllEnvs();
    expect(data.sources.notes!.files).toEqual([path.join(folder, 'home/*.txt')]);
  });

  it('becomes a file that says the same from anywhere, with what was set', () => {
    const recipe = textRecipe([file('saved/a.txt', 3e5), file('saved/b.txt.gz', 1e4)]);
    const overrides = { sets: ['train.maxTokens=8000', 'model.qkNorm=true'], nodes: 2 };
    const config = resolveRecipe(recipe, overrides);
    const text = recipeFile(recipe, overrides);
    expect(text).toContain('# Made by --text for 2 files with 330 kB of text.\nname: saved\n');
    expect(resolveConfig(text, '/elsewhere/saved.yaml')).toEqual(config);
  });

  it('refuses too little text, and patterns that match none', () => {
    expect(() => textRecipe([file('little/a.txt', 5e3)])).toThrow(
      /5,000 bytes of text are too few; 6,000 are needed at least/,
    );
    expect(() => textRecipe([path.join(folder, 'little/*.md')])).toThrow(/no file matches/);
    expect(() => textRecipe([''])).toThrow('--text: a pattern is empty');
  });
});
