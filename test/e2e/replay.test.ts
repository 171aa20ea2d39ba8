import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { RunFolder } from '@locmoe/run-format';
import {
  ROUTE_COLUMNS,
  type RouteColumn,
  type RouteRow,
  RoutesWriter,
  readRouteColumns,
  readRoutes,
} from '@locmoe/run-format/routes-file';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROUTER_NAMES } from '../../src/routing/index.js';
import { NIGHTLY } from '../nightly.js';
import { runCommand } from '../run-command.js';
import {
  DATA_DIR,
  filesIn,
  locmoe,
  lossCurve,
  newestRun,
  ROOT,
  startTraining,
  trainArguments,
  trainToTheEnd,
} from './support.js';

const STEPS = 6;
const SETS = [
  `train.steps=${STEPS}`,
  'train.warmupSteps=2',
  'train.checkpointEvery=2',
  'train.validateEvery=3',
];
const COLUMNS = Object.keys(ROUTE_COLUMNS) as RouteColumn[];
const RECORDED = ['train.recordRoutes.every=1', 'train.recordRoutes.share=1'];
const ONE_RANK = { nodes: 1, workersPerNode: 1 };
const TWO_NODES = { nodes: 2, workersPerNode: NIGHTLY ? 2 : 1 };
const RESUMED = ['--fork', '--data-dir', DATA_DIR, '--no-http'];

const root = mkdtempSync(path.join(tmpdir(), 'locmoe-replay-'));
afterAll(() => rmSync(root, { recursive: true }));
const newFolder = () => mkdtempSync(path.join(root, 'test-'));

async function choicesOf(run: string): Promise<string[]> {
  const { routes } = new RunFolder(run);
  const rows: RouteRow[] = [];
  for (const name of Object.keys(filesIn(routes))) rows.push(...(await readRoutes(path.join(routes, name))));
  return rows
    .map(({ step, layer, sequence, position, choice, token, expert, outcome }) =>
      [step, layer, sequence, position, choice, token, expert, outcome].join(' '),
    )
    .sort();
}

function recordsOf(run: string) {
  const lines = readFileSync(path.join(run, 'metrics.ndjson'), 'utf8').trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line));
}

/** Losses of the steps and validations of a run. */
function lossesOf(run: string): { readonly step: number }[] {
  return recordsOf(run)
    .filter(({ type }) => ['step', 'validation'].includes(type))
    .map(({ step, loss, auxiliaryLoss, gradientNorm, domains }) => {
      return { step, loss, auxiliaryLoss, gradientNorm, domains };
    });
}

async function expectSameInOneRank(run: string, alone: string): Promise<void> {
  expect(await choicesOf(alone)).toEqual(await choicesOf(run));
  const curve = lossCurve(run);
  for (const [step, loss] of lossCurve(alone)) expect(Math.abs(loss - curve.get(step)!)).toBeLessThan(1e-4);
}

/** Settings with which some choices are dropped. */
function settingsOf(router: string): string[] {
  const sets = [...SETS, `moe.router=${router}`, 'moe.capacityFactor=0.9'];
  return router === 'moge' ? [...sets, 'moe.expertGroups=1', 'moe.deviceGroups=2'] : sets;
}

// By day locmoe-plus, whose experts choose, stands for all.
describe.each(NIGHTLY ? ROUTER_NAMES : (['locmoe-plus'] as const))(
  'train --routes of a run of %s',
  (router) => {
    const folder = newFolder();
    const sets = settingsOf(router);
    let run: string;
    let again: string;
    beforeAll(async () => {
      run = await trainToTheEnd({ folder, ...TWO_NODES, sets: [...sets, ...RECORDED] });
      again = await trainToTheEnd({ folder, ...TWO_NODES, sets, more: ['--routes', run] });
    });

    it('replays it to the bit', async () => {
      expect(lossesOf(run)).toHaveLength(STEPS + 2);
      expect((await choicesOf(run)).some((choice) => !choice.endsWith('kept'))).toBe(true);
      expect(lossesOf(again)).toEqual(lossesOf(run));
    });

    // By day the recorded run of hash below stands for it.
    it.runIf(NIGHTLY)('makes its choices in another layout', async () => {
      const more = ['--routes', run];
      const alone = await trainToTheEnd({ folder, ...ONE_RANK, sets: [...sets, ...RECORDED], more });
      await expectSameInOneRank(run, alone);
    });

    it.runIf(router === 'locmoe-plus')('goes on to the bit after a restart', async () => {
      const resume = path.join(again, 'checkpoints/step-000004');
      const runs = path.join(folder, 'runs');
      const { code } = await locmoe(
        'train',
        '--resume',
        resume,
        '--runs-dir',
        runs,
        '--no-samples',
        ...RESUMED,
      );
      expect(code).toBe(0);
      expect(lossesOf(newestRun(folder))).toEqual(lossesOf(run).filter(({ step }) => step > 4));
    });
  },
);

it('replays a run of a foreign router, whose choices have weights, to the bit', async () => {
  const folder = newFolder();
  mkdirSync(path.join(folder, 'node_modules'));
  symlinkSync(ROOT, path.join(folder, 'node_modules/locmoe'));
  const router = path.join(folder, 'my-router.mjs');
  cpSync(path.join(ROOT, 'examples/my-router.mjs'), router);
  const layout = NIGHTLY ? TWO_NODES : ONE_RANK;
  const sets = settingsOf(router);
  const run = await trainToTheEnd({ folder, ...layout, sets: [...sets, ...RECORDED] });
  const again = await trainToTheEnd({ folder, ...layout, sets, more: ['--routes', run] });
  expect(lossesOf(again)).toEqual(lossesOf(run));
});

// Random choices do not depend on those of other ranks (replaced-choices.test.ts), so by day the eval test stands for
// them.
it.each(NIGHTLY ? ['random', 'balanced'] : ['balanced'])(
  'train --routes %s makes the same choices in every layout',
  async (routes) => {
    const folder = newFolder();
    const sets = [...SETS, ...RECORDED, 'moe.router=moge', 'moe.expertGroups=1', 'train.steps=1'];
    const more = ['--routes', routes];
    const alone = await trainToTheEnd({ folder, ...ONE_RANK, sets, more });
    await expectSameInOneRank(await trainToTheEnd({ folder, ...TWO_NODES, sets, more }), alone);
    expect((await choicesOf(alone)).every((choice) => choice.endsWith('kept'))).toBe(true);
    const { layers } = recordsOf(alone).find(({ type }) => type === 'step');
    for (const { kept } of layers)
      if (routes === 'balanced') expect(kept).toEqual([128, 128, 128, 128]);
      else expect(new Set(kept).size).toBeGreaterThan(1);
  },
);

describe('a recorded run of hash', () => {
  const folder = newFolder();
  const copy = path.join(folder, 'copy');
  /** The recorded run, and a run of another router that replays it. */
  let hash: string;
  let control: string;
  beforeAll(async () => {
    const layout = { folder, nodes: 1, workersPerNode: 2 };
    hash = await trainToTheEnd({ ...layout, sets: [...SETS, ...RECORDED, 'moe.router=hash'] });
    cpSync(hash, copy, { recursive: true });
    const sets = [...SETS, ...RECORDED, 'moe.router=locmoe-plus', 'moe.capacityFactor=0.6'];
    control = await trainToTheEnd({ folder, ...ONE_RANK, sets, more: ['--routes', copy] });
  });

  const damaged = (damage: (file: string) => void): string => {
    const place = mkdtempSync(path.join(folder, 'damaged-'));
    cpSync(hash, place, { recursive: true });
    damage(path.join(place, 'routes/step-000005-rank-001.parquet'));
    return place;
  };

  it('gives its choices to another router', async () => {
    expect(await choicesOf(control)).toEqual(await choicesOf(hash));
  });

  it.each<[string, () => string, string[], RegExp]>([
    [
      'no run',
      () => `${hash}/absent`,
      [],
      /absent: is no run with recorded routes; give its folder, or router,/,
    ],
    [
      'a run without routes',
      () => folder,
      [],
      /: has no recorded routes; record a run with train\.recordRoutes/,
    ],
    [
      'more steps',
      () => hash,
      ['train.steps=9'],
      /its folder has no recorded routes of step 7; record a run with/,
    ],
    [
      'other tokens',
      () => hash,
      ['seed=8'],
      /step 1, sequence \d, position \d+: token \d+ was recorded, and here/,
    ],
    [
      'other experts',
      () => hash,
      ['moe.numExperts=8'],
      /was recorded with 4 experts in a layer, and moe\.numEx/,
    ],
    [
      'other layers',
      () => hash,
      ['model.numSparseLayers=3'],
      /has routes of layers 1 to 2, and .* are 1 to 3$/m,
    ],
    [
      'more tokens',
      () => hash,
      ['train.globalBatch=16'],
      /step 1 has 512 .*, and its tokens need at least 1024;/,
    ],
    [
      'no rank 1',
      () => damaged((file) => rmSync(file)),
      [],
      /step 5 has 256 .*, and its tokens need at least 512;/,
    ],
    [
      'a cut file',
      () => damaged((file) => truncateSync(file, 900)),
      [],
      /rank-001\.parquet: is no whole Parquet/,
    ],
  ])('is refused before the run: %s', async (_, placeOf, changes, message) => {
    const sets = [...SETS, 'moe.router=hash', ...changes];
    const more = ['--routes', placeOf()];
    const [name = '', ...args] = trainArguments({ folder, ...ONE_RANK, sets, more });
    const { code, stderr } = await runCommand(name, ...args);
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    expect(code).toBe(2);
  });

  it('is refused where a resumed run had other bytes', async () => {
    rmSync(path.join(copy, 'routes/step-000006-rank-001.parquet'));
    const resume = path.join(control, 'checkpoints/step-000004');
    const changed = await runCommand('train', '--resume', resume, ...RESUMED);
    expect(changed.stderr).toMatch(/copy: the recorded routes have SHA-256 \w+ here, and \w+ in the run$/m);
    expect(changed.code).toBe(2);
  });

  it('ends a run at a step whose file has the routes of another', async () => {
    const source = path.join(hash, 'routes/step-000004-rank-001.parquet');
    const columns = await readRouteColumns(source, COLUMNS);
    const inside = damaged((file) => {
      const writer = new RoutesWriter(file, 4);
      writer.write(columns);
      writer.close();
    });
    const sets = [...SETS, 'moe.router=hash'];
    const run = startTraining({ folder, ...ONE_RANK, sets, more: ['--routes', inside] });
    const { code, stderr } = await run.finished;
    expect(stderr).toMatch(
      /: step 5, sequence \d, position \d+: token \d+ was recorded, and here it is \d+;/,
    );
    expect(code).toBe(3);
  });

  it('eval --routes replays what routes record has written, to the bit', async () => {
    const options = ['--checkpoint', control, '--sequences', '5', '--data-dir', DATA_DIR];
    const file = path.join(folder, 'routes.parquet');
    expect((await runCommand('routes', 'record', ...options, '--output', file)).code).toBe(0);
    expect(new Set((await readRoutes(file)).map(({ sequence }) => sequence)).size).toBe(10);
    const losses = async (...more: string[]) => {
      const { stdout, stderr, code } = await runCommand('eval', ...options, '--json', ...more);
      expect(code, stderr).toBe(0);
      return JSON.parse(stdout).domains;
    };
    const own = await losses();
    expect(await losses('--routes', file)).toEqual(own);
    expect(await losses('--routes', 'random')).not.toEqual(own);
  });

  it('eval and routes record refuse what does not fit', async () => {
    const checkpoint = ['--checkpoint', control];
    const other = [
      '--sequences',
      '6',
      '--data-dir',
      DATA_DIR,
      '--routes',
      path.join(folder, 'routes.parquet'),
    ];
    for (const [args, message] of [
      [['eval', ...checkpoint, ...other], /: validation, sequence \d+, position \d+: token/],
      [
        ['eval', ...checkpoint, '--routes', folder],
        /^locmoe: --routes .*: is no file; give router, balanced, /,
      ],
      [['routes', 'record', ...checkpoint, '--domain', 'en'], /^locmoe: --domain goes with --text\n$/],
    ] as const) {
      const [name, ...rest] = args;
      expect((await runCommand(name, ...rest)).stderr).toMatch(message);
    }
  });
});
