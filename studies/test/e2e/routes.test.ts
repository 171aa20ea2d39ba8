import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { DATA_DIR, Locmoe } from '../../../test/e2e/support.js';
import { STUDY, temporaryFolder } from '../support.js';

it('finds that what was sent is what the routes say, and reports', async () => {
  const out = temporaryFolder();
  const places = ['--work-dir', path.join(out, 'work'), '--out', out, '--data-dir', DATA_DIR];
  const run = new Locmoe(['routes', '--quick', '--only', 'traffic', ...places], {}, STUDY);
  const { code, stderr } = await run.finished;
  expect(code, stderr).toBe(0);
  const { traffic, choices } = JSON.parse(readFileSync(path.join(out, 'routes.json'), 'utf8'));
  expect(choices).toBe(null);
  expect(traffic).toHaveLength(3);
  for (const { measured, fromRoutes, difference } of traffic) {
    expect(measured).toBeGreaterThan(1e6);
    expect(fromRoutes).toBe(measured);
    expect(difference).toBe(0);
  }
  expect(readFileSync(path.join(out, 'routes.md'), 'utf8')).toContain('| switch | deduplicated |');
  await run.expectNothingLeft();
}, 300_000);
