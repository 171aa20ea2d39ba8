import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { reportOf } from '../../gates/report.js';
import { addRun, type Run } from '../../gates/runs.js';
import { STUDIES } from '../../kit/read-yaml.js';
import { callStudy, temporaryFolder } from '../support.js';
import { cells, DESIGN, design, runsOf } from './support.js';

/** Writes the page of these runs as the command does. */
async function pageOf(runs: readonly Run[], out = temporaryFolder()) {
  for (const run of runs) addRun(out, run);
  await callStudy('gates', '--report', '--design', DESIGN, '--out', out);
  return { out, text: readFileSync(path.join(out, 'gates.md'), 'utf8') };
}

const RESULTS = path.join(STUDIES, '../docs/results');
const HAS_PYTHON = spawnSync('python3', ['--version']).status === 0;
if (!HAS_PYTHON) console.warn('SKIPPED: figures are not recomputed: no python3');

const served = (held: number, hits: number) => ({ held, withinText: hits, overTexts: 0, mostUsed: 0 });
const CACHES = {
  reuse: { tokens: { p50: 3, p90: 9 }, experts: { p50: 2, p90: 5 } },
  hits: [served(1, 0.2), served(2, 0.61), served(4, 0.8)],
};
const SPARSE = { loadImbalance: 1.25, idShare: 0.9, caches: CACHES };
const RUNS = [
  ...runsOf('first', 'dense', 'quality', [3, 3.1], { loadImbalance: null, idShare: null }),
  ...runsOf('first', 'switch', 'quality', [2.9], SPARSE),
  ...runsOf('first', 'hash', 'quality', [2.8, 2.9], { idShare: 1 }),
  ...runsOf('last', 'hash', 'quality', [3, 3.2]),
  ...runsOf('last', 'own', 'quality', [3.001, 3.2011]),
  ...runsOf('last', 'hash', 'time', [100, 100]),
];

it('claims what planned tests show, has a table for each question, and says what is missing', async () => {
  const { out, text } = await pageOf(RUNS);
  expect(text).toContain(
    '| own router: perplexity against hash | +0.1 % (+0.0 % to +0.2 %) | equal within 50.0 % | < 0.001 | < 0.001 | **equal** |',
  );
  expect(text).toContain(
    '| own router: time to its last loss against hash | no run | at most -90.0 % |  |  | 0 of 2 pairs |',
  );
  expect(text).toContain('## Of what experts are\n\n**1 of 6 runs are still missing.**');
  // The reference is not ranked; the interval has t of one degree of freedom, and no width, as both ratios are the same.
  expect(text).toContain(
    [
      '| hash | dense | -18.1 % (-18.1 % to -18.1 %) | 100.0 % |',
      '| switch | dense | -9.5 % (one seed) | 90.0 % |',
      '',
      '## Send in a router',
    ].join('\n'),
  );
  expect(text).toContain('## Whether a gate helps\n\n**2 of 8 runs are still missing.**');
  // Geometric mean of the perplexities, with t = 12.706 of one degree of freedom; the pair is that of seed 1 alone.
  const high = Math.exp(3.05 + 12.7062047 * 0.05).toFixed(3);
  expect(text).toMatch(new RegExp(`\\| dense \\| 21\\.115 \\(\\d+\\.\\d+ to ${high}\\) (\\| {2}){5}\\|`));
  expect(text).toContain('| switch | 18.174 (one seed) | -9.5 % (one seed) | 90.0 % | 1.25 | 61.0 % | 3 |');
  expect(text).toContain('Made by `npm run study -- gates` on a machine (float32); commits a commit.');
  // The curves of the runs are parallel, so the change at both validations is that of the end.
  expect(text).toContain(
    [
      '| arm | 4 updates | 8 updates |',
      '| --- | ---: | ---: |',
      '| switch | -9.5 % (one seed) | -9.5 % (one seed) |',
      '| hash | -18.1 % (-18.1 % to -18.1 %) | -18.1 % (-18.1 % to -18.1 %) |',
      '',
      '## Whether a gate helps',
    ].join('\n'),
  );
  for (const picture of ['curves', 'locality'])
    expect(existsSync(path.join(out, `gates-${picture}.svg`)), picture).toBe(true);
});

describe.skipIf(!HAS_PYTHON)('a script in Python', () => {
  const recompute = (folder: string) =>
    spawnSync('python3', [path.join(STUDIES, 'gates/recompute.py'), folder], { encoding: 'utf8' });

  it('computes all figures of the page anew from the lines of the runs', () => {
    const { stdout, status } = recompute(RESULTS);
    expect(stdout).toMatch(/^\d+ figures recomputed, 0 differ\n$/);
    expect(status).toBe(0);
  });

  it('names figures that do not follow from the lines', async () => {
    const { out } = await pageOf(RUNS);
    expect(recompute(out)).toMatchObject({ stdout: '33 figures recomputed, 0 differ\n', status: 0 });
    const file = path.join(out, 'gates.json');
    writeFileSync(file, readFileSync(file, 'utf8').replace(/"change": -0\.0\d+/, '"change": -0.2'));
    const changed = recompute(out);
    expect(changed.stdout).toMatch(/^first, switch against dense: -0\.2 on the page, -0\.09\d+ here$/m);
    expect(changed.status).toBe(1);
  });
});

it('ranks arms of the questions alone that ask for it', () => {
  const questions = design.questions.map((question) => ({ ...question, isRanked: false }));
  const unranked = cells.map((cell) => {
    const question = questions.find(({ id }) => id === cell.question.id)!;
    return { ...cell, question };
  });
  const { view } = reportOf({ design: { ...design, questions }, cells: unranked, runs: RUNS });
  expect(view.ranking).toBe('_No run yet._');
});

it('keeps the findings that people wrote, and needs no run', async () => {
  const { out, text } = await pageOf([]);
  expect(text).toContain('**6 of 6 runs are still missing.**');
  expect(text).toContain('\n_No run yet._\n');
  expect(text).not.toContain('<svg');
  writeFileSync(path.join(out, 'gates.md'), text.replace('_Nothing written yet._', 'Found by us.'));
  expect((await pageOf(RUNS, out)).text).toContain('Found by us.');
});
