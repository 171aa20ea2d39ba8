import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { assertChoices, entryOf } from '../../src/gate/entry.js';

const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-entry-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A router by file, which imports nothing: in a test's process the package has no built files. */
function routerOf(name: string, decision: string): string {
  const file = path.join(folder, name);
  const gate = `[{ name: 'gate', shape: [d, E] }]`;
  writeFileSync(
    file,
    `export default { fields: {}, parameters: ({ numExperts: E }, d) => ${gate}, ${decision} };`,
  );
  return file;
}
const BY = `{ op: 'linear', weight: 'gate' }`;
const RULE = routerOf('two.mjs', `rule: () => ({ choose: { op: 'top', by: ${BY}, count: 2, limit: null } })`);
const CODE = routerOf('code.mjs', 'create() {}');

describe('entryOf', () => {
  it('takes the number of experts from the rule, and the width from it', () => {
    const own = entryOf({ router: RULE, set: [] });
    expect(own).toMatchObject({ label: 'two.mjs', numChoices: 2 });
    expect(own.router).toMatch(/two\.mjs#sha256=[0-9a-f]{64}$/);
    expect(own.sets).toEqual(['moe.numExperts=16', 'moe.dFeedForward=176', `moe.router=${own.router}`]);
    expect(entryOf({ router: 'switch', set: ['moe.auxiliaryLossWeight=0.1'] })).toMatchObject({
      label: 'switch auxiliaryLossWeight=0.1',
      numChoices: 1,
      sets: ['moe.router=switch', 'moe.auxiliaryLossWeight=0.1'],
    });
    expect(entryOf({ router: 'switch', set: ['moe.expertsPerToken=2'] }).numChoices).toBe(2);
  });

  it('has to be told it where a router is code', () => {
    expect(() => entryOf({ router: CODE, set: [] })).toThrow('give --choices 1 or --choices 2');
    expect(entryOf({ router: CODE, set: [], choices: 1 }).sets).toHaveLength(1);
    expect(entryOf({ router: CODE, set: [], choices: 2 }).sets).toContain('moe.numExperts=16');
  });

  it.each([
    'train.steps=9000',
    'moe.numExperts=32',
    'moe.dFeedForward=999',
    'moe.capacityFactor=null',
    'moe.router=hash',
    'moe={numExperts: 32}',
    'seed=7',
  ])('refuses --set %s, which is of the recipe', (set) => {
    expect(() => entryOf({ router: RULE, set: [set] })).toThrow(`--set ${set}: the recipe is fixed;`);
  });

  it('refuses a number of experts for which there is no table, and one that is not that of the rule', () => {
    expect(() => entryOf({ router: 'switch', set: ['moe.expertsPerToken=4'] })).toThrow(
      'switch: a token takes 4 experts, and there are tables of one and of two alone',
    );
    expect(() => entryOf({ router: RULE, set: [], choices: 1 })).toThrow(
      /--choices 1: by the rule .* it is 2/,
    );
  });
});

it('assertChoices finds a router that takes more experts than was said', () => {
  const entry = entryOf({ router: CODE, set: [], choices: 1 });
  assertChoices(entry, { mean: 1, end: 1 });
  expect(() => assertChoices(entry, { mean: 1.984, end: 2 })).toThrow(
    'code.mjs: a token had 1.98 experts on average, and not at most 1; say with --choices how many it takes',
  );
});
