import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { loadConfig } from '../../src/config/resolve.js';
import { modelOutline } from '../../src/model/describe.js';

const PAGE = readFileSync(new URL('../../docs/models.md', import.meta.url), 'utf8');

it.each(['tiny', 'pangu'])('docs/models.md has the outline of %s', (recipe) => {
  const [, shown] = new RegExp(`\`\`\`text ${recipe}\n([^\`]*)\n\`\`\``).exec(PAGE)!;
  expect(shown).toBe(modelOutline(loadConfig(recipe)));
});

it.each([
  [['moe.router=hash'], 'choose table[domain, token]'],
  [
    ['moe.router=hash', 'moe.expertsPerToken=2', 'moe.lookBack=1'],
    'choose table[domain, token], table2[domain, token 1 before]',
  ],
  [['moe.router=switch', 'moe.tokenPreference=0'], 's = softmax(x weight)'],
  [['moe.learnedGroups=false'], 's = groupMeans(x) * 0.5 + bias'],
  [['moe.router=locmoe-plus'], 'keep where s >= threshold'],
  [['moe.router=expert-choice', 'moe.tokenPreference=0'], 'keep where s >= threshold'],
  [['moe.router=moge', 'moe.expertGroups=1'], 'the best of each of 2 groups by s'],
  [
    [
      'moe.router=deepseek',
      'moe.expertGroups=1',
      'moe.expertsPerToken=2',
      'moe.deviceGroups=4',
      'moe.maxDeviceGroups=2',
      'moe.tokenPreference=0',
    ],
    'choose the best 2 in 2 of 4 groups by s + bias',
  ],
])('%j: the rule is a formula', (sets, formula) => {
  expect(modelOutline(loadConfig('tiny', { sets }))).toContain(formula);
});
