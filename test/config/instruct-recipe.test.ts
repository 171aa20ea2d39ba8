import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { instructRecipe, resolveInstruct } from '../../src/config/instruct-recipe.js';
import { loadConfig } from '../../src/config/resolve.js';

it('the recipe of a sub-model spreads the experts that it has, not those of the whole model', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-instruct-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, 'qa.jsonl');
  writeFileSync(file, '{"prompt": "a", "completion": "b"}\n'.repeat(200));
  const moeSets = ['moe.router=hash', 'moe.numExperts=6', 'moe.expertGroups=2'];
  const layout = ['cluster.nodes=1', 'cluster.workersPerNode=1'];
  const whole = loadConfig('tiny', { sets: [...moeSets, ...layout, 'data.domains=[en, code]'] });
  // Three experts, which two workers cannot share.
  const subModel = { domain: 'code', domains: whole.data.domains };
  const part = { ...whole, moe: { ...whole.moe, subModel }, data: { ...whole.data, domains: ['code'] } };
  const { moe, cluster, data } = resolveInstruct(instructRecipe([file], part), { sets: [] });
  expect(moe.subModel).toEqual(subModel);
  expect(cluster).toMatchObject({ nodes: 1, workersPerNode: 1 });
  expect(data.domains).toEqual(['code-qa']);
});
