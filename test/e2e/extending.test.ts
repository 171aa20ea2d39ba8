import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { readRecords } from '@locmoe/run-format';
import { expect, it } from 'vitest';
import { NIGHTLY } from '../nightly.js';
import { Locmoe, newestRun, ROOT, temporaryFolder, trainArguments } from './support.js';

/** The sources of the tree, and the packages as they were built. */
const COPIED = ['src', 'test', 'scripts', 'proto', 'configs', 'packages', 'package.json', 'vitest.config.ts'];
const TSCONFIGS = readdirSync(ROOT).filter((name) => /^tsconfig.*\.json$/.test(name));

/** Makes a copy of the tree, in which only the dependencies are linked. */
function copyTree(): string {
  const copy = temporaryFolder();
  for (const name of [...COPIED, ...TSCONFIGS])
    cpSync(path.join(ROOT, name), path.join(copy, name), { recursive: true });
  symlinkSync(path.join(ROOT, 'corpus'), path.join(copy, 'corpus'));
  const modules = path.join(copy, 'node_modules');
  mkdirSync(path.join(modules, '@locmoe'), { recursive: true });
  symlinkSync(copy, path.join(modules, 'locmoe'));
  for (const name of readdirSync(path.join(ROOT, 'packages')))
    symlinkSync(path.join(copy, 'packages', name), path.join(modules, '@locmoe', name));
  for (const name of readdirSync(path.join(ROOT, 'node_modules')))
    if (!existsSync(path.join(modules, name)))
      symlinkSync(path.join(ROOT, 'node_modules', name), path.join(modules, name));
  return copy;
}

/** Applies docs/extending.md: writes its files and makes its changes. */
function applyPage(copy: string): string[] {
  const page = readFileSync(path.join(ROOT, 'docs/extending.md'), 'utf8');
  return [...page.matchAll(/^```(ts|diff) (\S+)\n((?:.*\n)*?)```$/gm)].map(([, kind, name, block]) => {
    const file = path.join(copy, name);
    if (kind === 'ts') writeFileSync(file, block, { flag: 'wx' });
    else writeFileSync(file, block.split('@@\n').reduce(applyHunk, readFileSync(file, 'utf8')));
    return name;
  });
}

function applyHunk(text: string, hunk: string): string {
  const lines = hunk.split('\n').slice(0, -1);
  const side = (other: string) =>
    lines.flatMap((line) => (line.startsWith(other) ? [] : `${line.slice(1)}\n`)).join('');
  const parts = text.split(side('+'));
  expect(parts, `places of:\n${hunk}`).toHaveLength(2);
  return parts.join(side('-'));
}

it('the code of docs/extending.md works as it stands', async () => {
  const copy = copyTree();
  const files = applyPage(copy);
  expect(files).toContain('src/routing/routers/routers.ts');
  const node = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: copy, encoding: 'utf8' });
    expect(status, stdout + stderr).toBe(0);
  };
  // No other file has to change: everything still compiles, by night tests and benches included.
  if (NIGHTLY)
    for (const project of ['tsconfig.json', 'test/tsconfig.json', 'packages/page/tsconfig.browser.json'])
      node('node_modules/typescript/bin/tsc', '-p', project);
  for (const project of ['packages/run-format/tsconfig.build.json', 'tsconfig.build.json'])
    node('node_modules/typescript/bin/tsc', '-p', project);
  const locmoe = (args: readonly string[]) =>
    new Locmoe(args, {}, [process.execPath, path.join(copy, 'dist/cli/cli.js')], copy).finished;

  const folder = temporaryFolder();
  // 256 tokens a step: two whole spans and a part of a third, none for the last expert.
  const sets = [
    'moe.router=spans',
    'moe.span=100',
    'moe.expertGroups=1',
    'train.steps=3',
    'train.clipFrom=2',
  ];
  const training = trainArguments({ folder, nodes: 2, workersPerNode: 1, sets });
  const scalars = path.join(folder, 'scalars');
  const run = await locmoe([...training, '--tensorboard', scalars]);
  expect(run.code, run.stdout + run.stderr).toBe(0);
  const steps = readRecords(path.join(newestRun(folder), 'metrics.ndjson')).filter(
    (record) => record.type === 'step',
  );
  expect(steps).toHaveLength(3);
  for (const { layers } of steps)
    expect(layers.map(({ kept }) => kept)).toEqual([
      [100, 100, 56, 0],
      [100, 100, 56, 0],
    ]);
  expect(steps[2].loss!).toBeLessThan(steps[0].loss!);
  // No rank has more than half of the tokens.
  for (const { layers } of steps)
    for (const layer of layers) expect(Reflect.get(layer, 'maxLoad')).toBeLessThanOrEqual(128);
  for (const step of steps) expect(Reflect.get(step, 'heapBytes')).toBeGreaterThan(1e6);
  const [events] = readdirSync(scalars, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.includes('tfevents'),
  );
  expect(readFileSync(path.join(scalars, events), 'latin1')).toContain('memory/heap_bytes');
  const load = await locmoe(['load', '--runs-dir', path.join(folder, 'runs')]);
  expect(load.stdout).toMatch(
    /step 3 +expert 0 .*\n +layer 1 +100 +100 +56 +0\n +layer 2 +100 +100 +56 +0\n/,
  );

  const config = ['--config', path.join(folder, 'micro.yaml')];
  const planOf = async (router: string) => {
    const { code, stdout, stderr } = await locmoe([
      'plan',
      ...config,
      '--json',
      '--set',
      `moe.router=${router}`,
    ]);
    expect(code, stderr).toBe(0);
    return JSON.parse(stdout);
  };
  const [hash, dense, spans] = [await planOf('hash'), await planOf('switch'), await planOf('spans')];
  // The router has one factor for each of four experts in two layers, and each choice is multiplied by its expert's.
  expect(spans.parameters.model - hash.parameters.model).toBe(2 * 4);
  // Without a rule, its work is that of a dense gate.
  expect(spans.work.router).toEqual(dense.work.router);
  expect(spans.work.experts.forward.touched).toBeGreaterThan(hash.work.experts.forward.touched);

  const clipped = 'train.clipFrom=31';
  const refused = await locmoe(['plan', ...config, '--set', 'moe.span=0', '--set', clipped]);
  expect(refused.stderr).toContain('--set moe.span=0: moe.span: must be more than 0\n');
  expect(refused.stderr).toContain(`--set ${clipped}: train.clipFrom: 31 is after the last step, 30\n`);
  expect(refused.code).toBe(2);

  const tests = files.filter((name) => name.endsWith('.test.ts'));
  node('node_modules/vitest/vitest.mjs', 'run', ...tests);
});
