import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { instructRecipe } from '../../src/config/instruct-recipe.js';
import { recipeFile, resolveRecipe } from '../../src/config/recipe.js';
import { loadConfig, resolveConfig } from '../../src/config/resolve.js';
import { templateOf, templateSchema } from '../../src/data/template.js';
import { tinyConfig } from '../model/support.js';

const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-instruct-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A file of this size without contents; the recipe looks at sizes alone. */
function file(name: string, bytes: number): string {
  const place = path.join(folder, name);
  writeFileSync(place, '');
  truncateSync(place, bytes);
  return place;
}

const trained = tinyConfig({ model: { seqLen: 64 }, train: { globalBatch: 32, learningRate: 3e-3 } });
const grouped = { ...trained, moe: { ...trained.moe, expertGroups: 2 } };

describe('instructRecipe', () => {
  it('keeps the model, trains at a third of its rate, and longer on more samples', () => {
    const sizes = [1e3, 1e5, 1e6, 1e7];
    const configs = sizes.map((bytes) =>
      resolveRecipe(instructRecipe([file(`size-${bytes}.jsonl`, bytes)], trained), {}),
    );
    for (const [i, { model, moe, train, data, cluster }] of configs.entries()) {
      expect({ model, moe }).toEqual({ model: trained.model, moe: trained.moe });
      expect(train).toMatchObject({ learningRate: 1e-3, schedule: 'cosine', earlyStop: { patience: 4 } });
      expect(train.globalBatch).toBeLessThanOrEqual(32);
      expect(data.validationShare).toBe(0.1);
      expect(moe.numExperts % (cluster.nodes * cluster.workersPerNode)).toBe(0);
      expect(train.steps).toBeGreaterThanOrEqual(configs[i - 1]?.train.steps ?? 200);
      // Training makes three passes through the samples, unless there are few.
      const tokens = train.steps * train.globalBatch * model.seqLen;
      if (train.steps > 200) expect((tokens * 2) / (0.9 * sizes[i])).toBeCloseTo(3, 0);
    }
    expect(configs.at(-1)!.train.steps).toBeGreaterThan(200);
  });

  it('teaches each group of experts, by a domain for each that the model knows', () => {
    const recipe = instructRecipe([file('faq.jsonl', 1e4)], grouped);
    const { name, data } = resolveRecipe(recipe, {});
    expect(name).toBe('faq');
    expect(data.domains).toEqual(['a-qa', 'b-qa']);
    for (const domain of data.domains)
      expect(data.sources[domain]!.files).toEqual([path.join(folder, 'faq.jsonl')]);
    expect(resolveRecipe(instructRecipe([file('faq.jsonl', 1e4)], trained), {}).data.domains).toEqual([
      'faq',
    ]);
  });

  it('asks in the form that the checkpoint was fine-tuned with before', () => {
    const template = templateSchema.parse({ user: { prefix: '<', suffix: '>' } });
    const { data } = resolveRecipe(instructRecipe([file('faq.jsonl', 1e4)], trained), {});
    const sources = { faq: { ...data.sources.faq!, instruct: { template, validation: null } } };
    const tuned = { ...trained, data: { ...data, sources } };
    const again = resolveRecipe(instructRecipe([file('more.jsonl', 1e4)], tuned), {});
    expect(templateOf(again.data, 0)).toEqual(template);
  });

  it('becomes a file that says the same from anywhere, with what was set', () => {
    const recipe = instructRecipe([file('saved.jsonl', 3e5)], grouped);
    const overrides = { sets: ['train.steps=80'], nodes: 2, workersPerNode: 1 };
    const text = recipeFile(recipe, overrides);
    expect(text).toContain(
      '# Made by --instruct for 1 file with 300 kB of samples; use it with --init.\nname: saved\n',
    );
    expect(resolveConfig(text, '/elsewhere/saved.yaml')).toEqual(resolveRecipe(recipe, overrides));
  });

  it('refuses what names no file', () => {
    expect(() => instructRecipe([''], trained)).toThrow('--instruct: a pattern is empty');
    expect(() => instructRecipe([path.join(folder, 'none.jsonl')], trained)).toThrow(/no file matches/);
  });

  it('spreads the experts that a sub-model has, not those of the whole model', () => {
    const moeSets = ['moe.router=hash', 'moe.numExperts=6', 'moe.expertGroups=2'];
    const layout = ['cluster.nodes=1', 'cluster.workersPerNode=1'];
    const whole = loadConfig('tiny', { sets: [...moeSets, ...layout, 'data.domains=[en, code]'] });
    // Three experts, which two workers cannot share.
    const subModel = { domain: 'code', domains: whole.data.domains };
    const part = { ...whole, moe: { ...whole.moe, subModel }, data: { ...whole.data, domains: ['code'] } };
    const { moe, cluster, data } = resolveRecipe(instructRecipe([file('qa.jsonl', 1e4)], part), {
      sets: [],
    });
    expect(moe.subModel).toEqual(subModel);
    expect(cluster).toMatchObject({ nodes: 1, workersPerNode: 1 });
    expect(data.domains).toEqual(['code-qa']);
  });
});
