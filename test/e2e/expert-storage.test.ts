import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { loadConfig } from '../../src/config/resolve.js';
import {
  filesIn,
  lossCurve,
  MICRO,
  newestRun,
  startTraining,
  temporaryFolder,
  trainToTheEnd,
} from './support.js';

const LAYOUT = { nodes: 1, workersPerNode: 1 };
/** A step has 32 tokens: about half of its 32 experts have some. */
const TOUCHED = [
  'moe.router=hash',
  'moe.numExperts=32',
  'train.globalBatch=1',
  'train.expertUpdate=touched',
  'train.steps=20',
  'train.checkpointEvery=8',
  'train.validateEvery=6',
];
const IN_FILE = [...TOUCHED, 'moe.expertStorage.kind=file'];

/** Returns the bytes of the tensors of the last checkpoint by file. */
function lastTensors(run: string): Record<string, string> {
  const files = filesIn(path.join(run, 'checkpoints', 'step-000020'));
  return Object.fromEntries(Object.entries(files).filter(([file]) => file.endsWith('.safetensors')));
}

it('a worker with experts in a file that is killed leaves nothing, and its run ends as one that was left alone', async () => {
  const folder = temporaryFolder();
  const undisturbed = await trainToTheEnd({ folder: temporaryFolder(), ...LAYOUT, sets: TOUCHED });
  const sets = [...IN_FILE, 'moe.expertStorage.budgetMB=3.2', 'cluster.maxRestarts=1'];
  const env = { LOCMOE_FAIL: 'step.begun:14:kill:generation=1' };
  const run = await trainToTheEnd({ folder, ...LAYOUT, sets, env });
  expect(lossCurve(run)).toEqual(lossCurve(undisturbed));
  expect(lastTensors(run)).toEqual(lastTensors(undisturbed));
  expect(readdirSync(run).filter((file) => file.includes('expert'))).toEqual([]);
  const log = readFileSync(path.join(run, 'logs', 'node-0.ndjson'), 'utf8');
  const [, touched, reads] = /experts had tokens (\d+) times, and were read from the disk (\d+) times/.exec(
    log,
  )!;
  // Twelve steps after the restart touch experts of two layers.
  expect(Number(touched)).toBeGreaterThan(2 * 12 * 10);
  // Each expert is read at the start and for a validation, and some are read again.
  expect(Number(reads)).toBeGreaterThan(3 * 64);
});

it('impossible settings are refused in one line', async () => {
  const recipe = path.join(temporaryFolder(), 'micro.yaml');
  writeFileSync(recipe, MICRO);
  for (const [set, line] of [
    ['train.expertUpdate=dense', /file needs train\.expertUpdate touched: with dense every step moves every/],
    ['moe.expertStorage.budgetMB=0.06', /budgetMB: 0\.06 has no room for an expert, which takes 0\.07 MB$/],
  ] as const)
    expect(() => loadConfig(recipe, { ...LAYOUT, sets: [...IN_FILE, set] })).toThrow(line);
});

it('a memory budget below what a step needs fails the run in one line, and leaves no file of experts', async () => {
  const folder = temporaryFolder();
  const sets = [...IN_FILE, 'moe.expertStorage.budgetMB=0.2'];
  const run = startTraining({ folder, ...LAYOUT, sets });
  const { code, stderr } = await run.finished;
  await run.expectNothingLeft();
  expect(code).toBe(2);
  expect(stderr).toMatch(
    /run failed: rank \d, node 0, step 1, .*: moe\.expertStorage\.budgetMB has room for 3 \(0\.2 MB\) of this rank's experts, and a step needs at least \d+ \(\d+\.\d MB\)/,
  );
  expect(readdirSync(newestRun(folder)).filter((file) => file.includes('expert'))).toEqual([]);
});
