import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { readRuns } from '../../gates/runs.js';
import { DESIGN } from '../gates/support.js';
import { DATA_DIR, runStudy, temporaryFolder } from '../support.js';

it('trains every run once, whatever is done at once, and looks at the test text in the confirming stage alone', async () => {
  const folder = temporaryFolder();
  const study = (...more: readonly string[]) =>
    runStudy(
      'gates',
      '--design',
      DESIGN,
      '--work-dir',
      folder,
      '--data-dir',
      DATA_DIR,
      '--seeds',
      '1,11',
      ...more,
    );
  await study('--at-once', '2');
  const runs = [...readRuns(folder).values()];
  const shown = runs.map(({ arm, kind, seed, test }) => `${arm} ${kind} ${seed} ${test !== null}`);
  expect(shown.sort()).toEqual([
    'dense quality 1 false',
    'hash quality 1 false',
    'hash quality 11 true',
    'hash time 11 false',
    'own quality 11 true',
    'own time 11 false',
    'switch quality 1 false',
  ]);
  const { test, curve, expertsPerToken } = runs.find(({ arm, test }) => arm === 'own' && test !== null)!;
  const withCaches = runs.filter(({ caches }) => caches?.hits.every(({ overTexts }) => overTexts > 0));
  expect(withCaches.map(({ arm, kind }) => `${arm} ${kind}`).sort()).toEqual([
    'hash quality',
    'hash quality',
    'own quality',
    'switch quality',
  ]);
  // Two domains of three sequences of 32 tokens each, which are not those of the validation.
  expect(test).toMatchObject({ tokens: 192, domains: { en: expect.any(Number), code: expect.any(Number) } });
  expect(test!.loss).not.toBe(curve.at(-1)!.loss);
  expect(Math.abs(test!.loss - curve.at(-1)!.loss)).toBeLessThan(0.5);
  expect(expertsPerToken).toEqual({ mean: 1, end: 1 });
  expect(readFileSync(path.join(folder, 'gates.md'), 'utf8')).toContain('own router');

  // A line is removed: only that run is made again, and gives the same result.
  const file = path.join(folder, 'gates-runs.jsonl');
  const [again] = runs.filter(({ arm, kind }) => arm === 'own' && kind === 'quality');
  writeFileSync(file, runs.flatMap((run) => (run === again ? [] : [`${JSON.stringify(run)}\n`])).join(''));
  const second = await study();
  expect(second.stdout).toMatch(/^7 runs, 6 of them kept from before$/m);
  const made = [...readRuns(folder).values()].at(-1)!;
  expect([made.arm, made.curve, made.test]).toEqual([again!.arm, again!.curve, again!.test]);
});
