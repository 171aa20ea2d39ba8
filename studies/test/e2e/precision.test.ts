import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { DATA_DIR, Locmoe, MICRO } from '../../../test/e2e/support.js';
import { withBfloat16 } from '../../../test/with-onednn.js';
import { STUDY, temporaryFolder } from '../support.js';

withBfloat16('with bfloat16', () => {
  it('trains in both precisions and reports', async () => {
    const folder = temporaryFolder();
    const config = path.join(folder, 'micro.yaml');
    writeFileSync(config, MICRO);
    const out = path.join(folder, 'out');
    const places = ['--work-dir', path.join(folder, 'work'), '--out', out, '--data-dir', DATA_DIR];
    const args = ['precision', '--config', config, '--seeds', '1', '--steps', '6', ...places];
    const run = new Locmoe(args, {}, STUDY);
    const { code, stderr } = await run.finished;
    expect(code, stderr).toBe(0);
    const { runs, worst } = JSON.parse(readFileSync(path.join(out, 'precision.json'), 'utf8'));
    expect(runs).toHaveLength(1);
    expect(runs[0].bfloat16).not.toBe(runs[0].float32);
    expect(worst).toBeCloseTo(Math.abs(runs[0].difference), 12);
    expect(readFileSync(path.join(out, 'precision.md'), 'utf8')).toContain('| seed | float32 | bfloat16 |');
    await run.expectNothingLeft();
  }, 120_000);
});

it('says in one line what is missing without oneDNN, and which studies there are', async () => {
  const folder = temporaryFolder();
  const call = (...args: readonly string[]) =>
    new Locmoe(args, { LOCMOE_KERNELS: 'tensorflow' }, STUDY).finished;
  const { code, stderr } = await call('precision', '--work-dir', folder, '--out', folder);
  expect([code, stderr]).toEqual([
    2,
    'study: bfloat16: it needs oneDNN, but LOCMOE_KERNELS says tensorflow\n',
  ]);
  const help = await call('--help');
  expect(help.code).toBe(0);
  expect(help.stdout).toMatch(/^ {2}storage \[options\]/m);
  expect((await call('precisoin')).code).toBe(2);
});
