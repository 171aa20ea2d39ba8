import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, truncateSync } from 'node:fs';
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
import { describe, expect, it } from 'vitest';
import { ROUTER_NAMES } from '../../src/routing/index.js';
import { NIGHTLY } from '../nightly.js';
import {
  DATA_DIR,
  filesIn,
  locmoe,
  lossCurve,
  newestRun,
  ROOT,
  startTraining,
  temporaryFolder,
  trainToTheEnd,
} from './support.js';

const STEPS = 8;
const SETS = [
  `train.steps=${STEPS}`,
  'train.warmupSteps=2',
  'train.checkpointEvery=3',
  'train.validateEvery=4',
];
const COLUMNS = Object.keys(ROUTE_COLUMNS) as RouteColumn[];
const RECORDED = ['train.recordRoutes.every=1', 'train.recordRoutes.share=1'];

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

/** Losses of the steps and validations of a run. */
function lossesOf(run: string): string[] {
  return readFileSync(path.join(run, 'metrics.ndjson'), 'utf8')
    .split('\n')
    .filter((line) => /"type":"(step|validation)"/.test(line))
    .map((line) => {
      const { step, loss, auxiliaryLoss, gradientNorm, domains } = JSON.parse(line);
      return JSON.stringify({ step, loss, auxiliaryLoss, gradientNorm, domains });
    });
}

/** Routers with choices that are dropped; one of one's own too. */
function settingsOf(router: string): string[] {
  const sets = [`moe.router=${router}`, 'moe.capacityFactor=0.9'];
  return router === 'moge' ? [...sets, 'moe.expertGroups=1', 'moe.deviceGroups=2'] : sets;
}

function ownRouter(folder: string): string {
  mkdirSync(path.join(folder, 'node_modules'));
  symlinkSync(ROOT, path.join(folder, 'node_modules/locmoe'));
  const router = path.join(folder, 'my-router.mjs');
  cpSync(path.join(ROOT, 'examples/my-router.mjs'), router);
  return router;
}

describe('train --routes', () => {
  // By day one whose experts choose and a foreign one, whose choices have weights, stand for all.
  it.each(NIGHTLY ? [...ROUTER_NAMES, 'my-router.mjs'] : ['locmoe-plus', 'my-router.mjs'])(
    'replays a run of %s to the bit, locmoe-plus after a restart too, and its choices in another layout',
    async (name) => {
      const folder = temporaryFolder();
      const router = name.endsWith('.mjs') ? ownRouter(folder) : name;
      const sets = [...SETS, ...settingsOf(router)];
      const layout = { folder, nodes: 2, workersPerNode: 2 };
      const run = await trainToTheEnd({ ...layout, sets: [...sets, ...RECORDED] });
      const choices = await choicesOf(run);
      const losses = lossesOf(run);
      expect(losses).toHaveLength(STEPS + 2);
      if (name !== 'my-router.mjs') expect(choices.some((choice) => !choice.endsWith('kept'))).toBe(true);

      const replay = ['--routes', run];
      const again = await trainToTheEnd({ ...layout, sets, more: replay });
      expect(lossesOf(again)).toEqual(losses);

      if (name === 'locmoe-plus') {
        const resume = path.join(again, 'checkpoints/step-000003');
        const more = [
          '--data-dir',
          DATA_DIR,
          '--runs-dir',
          path.join(folder, 'runs'),
          '--no-http',
          '--no-samples',
        ];
        expect((await locmoe('train', '--resume', resume, '--fork', ...more)).code).toBe(0);
        expect(lossesOf(newestRun(folder))).toEqual(losses.filter((line) => JSON.parse(line).step > 3));
      }

      const other = { folder, nodes: 1, workersPerNode: 1 };
      const alone = await trainToTheEnd({ ...other, sets: [...sets, ...RECORDED], more: replay });
      expect(await choicesOf(alone)).toEqual(choices);
      const curve = lossCurve(run);
      for (const [step, loss] of lossCurve(alone))
        expect(Math.abs(loss - curve.get(step)!)).toBeLessThan(1e-4);
    },
  );

  it('draws the same random choices in every layout, and balances each global batch', async () => {
    const folder = temporaryFolder();
    const sets = [...SETS, ...RECORDED, 'moe.router=moge', 'moe.expertGroups=1', 'train.steps=2'];
    for (const routes of ['random', 'balanced']) {
      const more = ['--routes', routes];
      const run = await trainToTheEnd({ folder, nodes: 2, workersPerNode: 2, sets, more });
      const choices = await choicesOf(run);
      const alone = await trainToTheEnd({ folder, nodes: 1, workersPerNode: 1, sets, more });
      expect(await choicesOf(alone)).toEqual(choices);
      const curve = lossCurve(run);
      for (const [step, loss] of lossCurve(alone))
        expect(Math.abs(loss - curve.get(step)!)).toBeLessThan(1e-4);
      expect(choices.every((choice) => choice.endsWith('kept'))).toBe(true);
      const [{ layers }] = readFileSync(path.join(run, 'metrics.ndjson'), 'utf8')
        .split('\n')
        .filter((line) => line.includes('"type":"step"'))
        .map((line) => JSON.parse(line));
      for (const { kept } of layers)
        if (routes === 'balanced') expect(kept).toEqual([128, 128, 128, 128]);
        else expect(new Set(kept).size).toBeGreaterThan(1);
    }
  });

  it('takes the choices of another router, and refuses what was not recorded whole or does not fit', async () => {
    const folder = temporaryFolder();
    const layout = { folder, nodes: 1, workersPerNode: 2 };
    const hash = await trainToTheEnd({ ...layout, sets: [...SETS, ...RECORDED, 'moe.router=hash'] });
    const sets = [...SETS, 'moe.router=locmoe-plus', 'moe.capacityFactor=null'];
    const control = await trainToTheEnd({
      ...layout,
      sets: [...sets, ...RECORDED],
      more: ['--routes', hash],
    });
    expect(await choicesOf(control)).toEqual(await choicesOf(hash));

    const damaged = (damage: (file: string) => void, step = 6): string => {
      const copy = path.join(temporaryFolder(), 'copy');
      cpSync(hash, copy, { recursive: true });
      damage(path.join(copy, `routes/step-00000${step}-rank-001.parquet`));
      return copy;
    };
    const refused: [string, readonly string[], RegExp][] = [
      [
        path.join(folder, 'absent'),
        [],
        /absent: is no run with recorded routes; give its folder, or router,/,
      ],
      [folder, [], /: has no recorded routes; record a run with train\.recordRoutes\.every=1 and/],
      [hash, ['train.steps=9'], /there are no routes of step 9; record a run with/],
      [hash, ['seed=8'], /step 1, sequence \d, position \d+: token \d+ was recorded, and here it is \d+;/],
      [hash, ['moe.numExperts=8'], /was recorded with 4 experts in a layer, and moe\.numExperts is 8$/m],
      [
        hash,
        ['model.numSparseLayers=3'],
        /has routes of layers 1 to 2, and the sparse layers .* are 1 to 3$/m,
      ],
      [hash, ['train.globalBatch=16'], /step 1 has 512 recorded choices, and its tokens need at least 1024;/],
      [
        damaged((file) => rmSync(file)),
        [],
        /step 6 has 256 recorded choices, and its tokens need at least 512;/,
      ],
      [
        damaged((file) => truncateSync(file, 900)),
        [],
        /step-000006-rank-001\.parquet: is no whole Parquet file/,
      ],
    ];
    for (const [place, more, message] of refused) {
      const run = startTraining({
        ...layout,
        sets: [...SETS, 'moe.router=hash', ...more],
        more: ['--routes', place],
      });
      const { code, stderr } = await run.finished;
      expect(stderr).toMatch(message);
      expect(stderr.trimEnd().split('\n')).toHaveLength(1);
      expect(code).toBe(2);
    }

    const copy = damaged(() => undefined);
    const replay = await trainToTheEnd({
      ...layout,
      sets: [...SETS, 'moe.router=hash'],
      more: ['--routes', copy],
    });
    rmSync(path.join(copy, 'routes/step-000008-rank-001.parquet'));
    const resume = path.join(replay, 'checkpoints/step-000003');
    const changed = await locmoe('train', '--resume', resume, '--fork', '--data-dir', DATA_DIR, '--no-http');
    expect(changed.stderr).toMatch(/copy: the recorded routes have SHA-256 \w+ here, and \w+ in the run$/m);
    expect(changed.code).toBe(2);

    // A step that is wrong inside is found when it is reached.
    const inside = damaged(() => undefined);
    const file = path.join(inside, 'routes/step-000006-rank-001.parquet');
    const writer = new RoutesWriter(file, 4);
    writer.write(await readRouteColumns(path.join(hash, 'routes/step-000005-rank-001.parquet'), COLUMNS));
    writer.close();
    const run = startTraining({ ...layout, sets: [...SETS, 'moe.router=hash'], more: ['--routes', inside] });
    const { code, stderr } = await run.finished;
    expect(stderr).toMatch(
      /: step 6, sequence \d, position \d+: token \d+ was recorded, and here it is \d+;/,
    );
    expect(code).toBe(3);
  });
});

it('eval --routes replays what routes record has written, to the bit', async () => {
  const folder = temporaryFolder();
  const sets = [...SETS, 'moe.router=locmoe-plus', 'moe.capacityFactor=0.6'];
  const run = await trainToTheEnd({ folder, nodes: 1, workersPerNode: 1, sets });
  const options = ['--checkpoint', run, '--sequences', '5', '--data-dir', DATA_DIR];
  const file = path.join(folder, 'routes.parquet');
  expect((await locmoe('routes', 'record', ...options, '--output', file)).code).toBe(0);
  const rows = await readRoutes(file);
  expect(new Set(rows.map(({ sequence }) => sequence)).size).toBe(10);
  const losses = async (...more: string[]) => {
    const { stdout, stderr, code } = await locmoe('eval', ...options, '--json', ...more);
    return code === 0 ? JSON.parse(stdout).domains : stderr;
  };
  const own = await losses();
  expect(await losses('--routes', file)).toEqual(own);
  const random = await losses('--routes', 'random');
  expect(random).not.toEqual(own);
  expect(await losses('--routes', 'random')).toEqual(random);
  expect(await losses('--sequences', '6', '--routes', file)).toMatch(
    /: validation, sequence \d+, position \d+: token/,
  );
  expect(await losses('--routes', folder)).toMatch(
    /^locmoe: --routes .*: is no file; give router, balanced, random, or/,
  );
  expect((await locmoe('routes', 'record', '--checkpoint', newestRun(folder), '--domain', 'en')).stderr).toBe(
    'locmoe: --domain goes with --text\n',
  );
});
