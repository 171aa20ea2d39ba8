import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { ROUTER_NAMES, routerPolicy } from '../../src/routing/index.js';
import { defineRouter } from '../../src/routing/policy.js';
import { routerContext } from './context.js';

const ROOT = path.resolve(import.meta.dirname, '../..');

it('a router without a price does not compile', () => {
  const { create } = routerPolicy('hash');
  // @ts-expect-error
  expect(defineRouter({ create })).not.toHaveProperty('price');
});

it.each(ROUTER_NAMES)('%s: every field has a default, and only fields of its own shape it', (router) => {
  const { fields, shapedBy } = routerPolicy(router);
  for (const schema of Object.values(fields)) expect(schema).toHaveProperty('_zod.def.type', 'default');
  expect(Object.keys(fields)).toEqual(expect.arrayContaining([...shapedBy]));
});

it.each(ROUTER_NAMES)('%s: the price is in numbers that can be, and grows with the tokens', (router) => {
  const { moe } = routerContext({ router, numExperts: 4, expertGroups: 2 });
  const priceOf = (numTokens: number) => routerPolicy(router).price(moe, { numTokens, dModel: 16 });
  const [few, many] = [priceOf(8), priceOf(64)];
  expect(few.choicesPerToken).toBeGreaterThanOrEqual(1);
  expect(few.choicesPerToken).toBeLessThanOrEqual(2);
  expect(few.kept?.perToken ?? 0).toBeLessThanOrEqual(few.choicesPerToken);
  for (const pass of ['forward', 'backward'] as const) {
    expect(many[pass].flops).toBe(8 * few[pass].flops);
    expect(many[pass].operations).toBe(few[pass].operations);
  }
  expect(many.gathered.bytes).toBeGreaterThanOrEqual(few.gathered.bytes);
});

it('the README names every router', () => {
  const readme = readFileSync(path.join(ROOT, 'README.md'), 'utf8');
  for (const router of ROUTER_NAMES) expect(readme).toContain(`\`${router}\``);
});
