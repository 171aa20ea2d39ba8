import { readFileSync } from 'node:fs';
import path from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { RunFolder } from '@locmoe/run-format';
import { type RouteRow, readRoutes } from '@locmoe/run-format/routes-file';
import { describe, expect, it } from 'vitest';
import { reportCache } from '../../src/evaluation/routes/cache.js';
import { runCommand } from '../run-command.js';
import { DATA_DIR, filesIn, ROOT, temporaryFolder, trainToTheEnd } from './support.js';

const STEPS = 4;
const SETS = [
  `train.steps=${STEPS}`,
  'train.checkpointEvery=2',
  'train.recordRoutes.every=2',
  'train.recordRoutes.share=1',
];

async function rowsOf(run: string): Promise<RouteRow[]> {
  const { routes } = new RunFolder(run);
  const rows: RouteRow[] = [];
  for (const name of Object.keys(filesIn(routes)).sort())
    rows.push(...(await readRoutes(path.join(routes, name))));
  return rows;
}

/** The choices without ranks and links, which depend on the layout. */
function choicesOf(rows: readonly RouteRow[]): string[] {
  return rows
    .map(({ step, layer, sequence, position, choice, token, document, domain, expert, outcome }) =>
      [step, layer, sequence, position, choice, token, document, domain, expert, outcome].join(' '),
    )
    .sort();
}

describe('train.recordRoutes', () => {
  it('records each choice of each due step once, as the metrics count them, and the same after a resume in another layout', async () => {
    const folder = temporaryFolder();
    const sets = [...SETS, 'moe.router=locmoe-plus', 'moe.capacityFactor=0.6', 'moe.selection=both'];
    const run = await trainToTheEnd({ folder, nodes: 2, workersPerNode: 1, sets });
    const rows = await rowsOf(run);
    const steps = readFileSync(path.join(run, 'metrics.ndjson'), 'utf8')
      .split('\n')
      .filter((line) => line.includes('"type":"step"'))
      .map((line) => JSON.parse(line));
    for (const step of [2, 4])
      for (const { layer, kept, overCapacity, notChosen } of steps.find((record) => record.step === step)
        .layers) {
        const count = (expert: number, outcome: string) =>
          rows.filter(
            (row) =>
              row.step === step && row.layer === layer && row.expert === expert && row.outcome === outcome,
          ).length;
        expect(kept.map((_: number, expert: number) => count(expert, 'kept'))).toEqual(kept);
        expect(kept.map((_: number, expert: number) => count(expert, 'over capacity'))).toEqual(overCapacity);
        expect(kept.map((_: number, expert: number) => count(expert, 'not chosen'))).toEqual(notChosen);
      }
    expect(new Set(rows.map(({ step }) => step))).toEqual(new Set([2, 4]));
    for (const { score, gate, bias, preference, entropy, logSum } of rows) {
      expect(score).toBeCloseTo(gate! + (bias ?? 0) + (preference ?? 0), 5);
      expect(entropy).toBeGreaterThan(0);
      // A domain may use two experts.
      expect(entropy).toBeLessThanOrEqual(Math.log(2) + 1e-6);
      expect(logSum).toBeGreaterThan(gate!);
    }

    const resumed = await trainToTheEnd({
      folder,
      nodes: 1,
      workersPerNode: 1,
      sets,
      resume: path.join(run, 'checkpoints/step-000002'),
      more: ['--fork'],
    });
    expect(choicesOf(await rowsOf(resumed))).toEqual(choicesOf(rows.filter(({ step }) => step > 2)));
  });
});

/** The parsed JSON output of a command. */
async function jsonOf(name: string, ...args: string[]) {
  const { code, stdout, stderr } = await runCommand(name, ...args, '--json');
  expect(code, stderr).toBe(0);
  expect(stderr).toBe('');
  return JSON.parse(stdout);
}

describe('locmoe routes', () => {
  it('finds that hash routing is decided by id and domain, in what DuckDB reads too; refuses what is no recording', async () => {
    const folder = temporaryFolder();
    const sets = [...SETS, 'moe.router=hash'];
    const run = await trainToTheEnd({ folder, nodes: 1, workersPerNode: 1, sets });
    for (const { predicted, shuffled, explained, gate } of await jsonOf('routes', 'report', run)) {
      expect(predicted.expert['id and domain'].share).toBe(1);
      expect(explained['id and domain']).toBe(1);
      expect(predicted.expert.nothing.share).toBeLessThan(0.6);
      expect(shuffled).toBeLessThan(0.6);
      expect(gate).toBe(null);
    }
    expect(await jsonOf('routes', 'report', run, '--cache')).toEqual(reportCache(await rowsOf(run), 4));
    const caches = await runCommand('routes', 'report', run, '--cache');
    expect(caches.stdout).toMatch(/all layers +2 of 4( +\d+\.\d %){3}\n$/);
    const svg = path.join(folder, 'routes.svg');
    const printed = await runCommand('routes', 'report', run, '--svg', svg);
    expect(printed.stdout).toMatch(/id and domain +100\.0 % ± 0\.0/);
    expect(printed.stdout).toMatch(
      /stability, the usual choice of id and domain at the step before: 2 to 4 100\.0 %/,
    );
    expect(readFileSync(svg, 'utf8')).toContain('id and domain');

    const ablate = ['--checkpoint', run, '--sequences', '2', '--data-dir', DATA_DIR, '--ablate'];
    const { ablations } = await jsonOf('eval', ...ablate);
    const lossOf = (wanted: string) =>
      ablations.find(({ name }: { name: string }) => name === wanted).loss as number;
    // Two layers of two groups of two experts.
    expect(ablations).toHaveLength(3 + 2 * (4 + 2));
    expect((await jsonOf('eval', ...ablate, 'gate')).ablations).toEqual(ablations.slice(0, 3));
    for (const control of ['gate scores zero', 'gate scores of other tokens'])
      expect(lossOf(control)).toBe(lossOf('as trained'));
    expect(lossOf('layer 1 without e0')).not.toBe(lossOf('as trained'));
    expect(lossOf('layer 2, e2 and e3 exchanged')).not.toBe(lossOf('as trained'));

    const text = ['--text', path.join(ROOT, 'docs/training.md'), '--domain', 'en', '--max-tokens', '500'];
    const recorded = ['--checkpoint', run, ...text];
    const file = path.join(folder, 'routes.parquet');
    const record = (...args: string[]) => runCommand('routes', 'record', ...recorded, ...args);
    expect((await record('--output', file)).stdout).toBe(`${file}: 1,000 choices\n`);
    const database = await (await DuckDBInstance.create(':memory:')).connect();
    const found = await database.runAndReadAll(
      `SELECT count(*)::INT AS choices, count(DISTINCT (layer, position, sequence))::INT AS places, max(gate) AS gate,
       min(outcome) AS outcome, sum(bytes)::INT AS bytes FROM '${file}'`,
    );
    expect(found.getRowObjects()).toEqual([
      { choices: 1000, places: 1000, gate: null, outcome: 'kept', bytes: 0 },
    ]);
    for (const args of [[], ['--cache']])
      expect(await jsonOf('routes', 'report', ...recorded, ...args)).toEqual(
        await jsonOf('routes', 'report', file, ...args),
      );
    const csv = path.join(folder, 'routes.csv');
    await record('--csv', '--output', csv);
    const difference = await database.runAndReadAll(
      `SELECT count(*)::INT AS rows FROM (SELECT * EXCLUDE (gate, bias, preference, score, margin, gateExpert, entropy, logSum) FROM '${file}'
       EXCEPT SELECT * EXCLUDE (gate, bias, preference, score, margin, gateExpert, entropy, logSum) FROM '${csv}')`,
    );
    expect(difference.getRowObjects()).toEqual([{ rows: 0 }]);

    const isThere = /^locmoe: --(svg|output) .*: is there already; name a new file\n$/;
    for (const [args, message] of [
      [['report', path.join(folder, 'absent')], /absent: there is no such file or run\n$/],
      [['report', run, '--svg', svg], isThere],
      [['report', run, '--svg', 'new.svg', '--cache'], /'--cache' cannot be used with option '--svg <file>'/],
      [['report', '--checkpoint', run], /^locmoe: give recorded routes, or --checkpoint and --text\n$/],
      [['report', csv], /^locmoe: .*routes\.csv: is no whole Parquet file \(.*\)\n$/],
      [['report', folder], /: has no routes; train with train\.recordRoutes\.every=50\n$/],
      [['report', file, file], /routes\.parquet: has step 4 of rank 0, domain en, as .* has; .*\n$/],
      // A single rank sends nothing.
      [['traffic', run], /: no step from \d+ to the last has bytes by link; .*\n$/],
      [['report', run, '--from', '9'], /: no routes of steps 9 to the last\n$/],
      [['record', ...recorded, '--output', file], isThere],
      [['record', ...recorded, '--output', '/nowhere/x'], /--output .*: there is no folder \/nowhere\n$/],
      [['record', '--checkpoint', run, '--text', 'nothing*', '--domain', 'en'], /nothing\*.*\n$/],
    ] as const) {
      const { code, stderr } = await runCommand('routes', ...args);
      expect(stderr).toMatch(message);
      expect(code).toBe(2);
    }
  });
});
