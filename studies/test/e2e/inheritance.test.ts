import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { DATA_DIR, Locmoe, MICRO } from '../../../test/e2e/support.js';
import { STUDY, temporaryFolder } from '../support.js';

it('trains dense, inherited and from scratch, and reports; a second call finds all of it done', async () => {
  const folder = temporaryFolder();
  const config = path.join(folder, 'micro.yaml');
  writeFileSync(config, MICRO);
  const call = () =>
    new Locmoe(
      [
        ...['inheritance', '--config', config, '--quick', '--dense-steps', '8', '--steps', '4'],
        ...['--work-dir', folder, '--data-dir', DATA_DIR],
      ],
      {},
      STUDY,
    ).finished;
  const { code, stdout, stderr } = await call();
  expect(code, stdout + stderr).toBe(0);
  const file = path.join(folder, 'quick/inheritance.json');
  const figures = readFileSync(file, 'utf8');
  const { results, starts, machine } = JSON.parse(figures);
  expect(machine).toContain('Node');
  expect(starts).toEqual([]);
  const [{ seed, dense, inherited, scratch }] = results;
  expect(seed).toBe(1);
  const stepsOf = (curve: { step: number }[]) => curve.map(({ step }) => step);
  expect(stepsOf(dense)).toEqual([...Array(12).keys()].map((step) => step + 1));
  expect(stepsOf(scratch)).toEqual(stepsOf(dense));
  expect(stepsOf(inherited)).toEqual([0, 1, 2, 3, 4]);
  expect(inherited[0].loss).toBeCloseTo(dense[7].loss, 4);
  for (const picture of ['since-start', 'all-tokens'])
    expect(existsSync(path.join(folder, `quick/inheritance-${picture}.svg`)), picture).toBe(true);

  const again = await call();
  expect(again.stdout).toMatch(/^3 parts, 3 of them kept from before; about 0s left\nreport: /);
  expect(readFileSync(file, 'utf8')).toBe(figures);
});
