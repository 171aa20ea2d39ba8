import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { DATA_DIR, locmoe, MICRO, temporaryFolder } from './support.js';

it('bench inheritance trains dense, inherited and from scratch, and reports', async () => {
  const folder = temporaryFolder();
  const config = path.join(folder, 'micro.yaml');
  writeFileSync(config, MICRO);
  const { code, stdout, stderr } = await locmoe(
    ...['bench', 'inheritance', '--config', config, '--quick', '--dense-steps', '8', '--steps', '4'],
    ...['--work-dir', folder, '--data-dir', DATA_DIR],
  );
  expect(code, stdout + stderr).toBe(0);
  const { results, starts, machine } = JSON.parse(
    readFileSync(path.join(folder, 'inheritance.json'), 'utf8'),
  );
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
    expect(existsSync(path.join(folder, `inheritance-${picture}.svg`)), picture).toBe(true);
});
