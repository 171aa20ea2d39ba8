import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { filesIn, lossCurve, newestRun, startTraining, temporaryFolder, trainToTheEnd } from './support.js';

const LAYOUT = { nodes: 1, workersPerNode: 1 };
const STEPS = ['train.steps=20', 'train.checkpointEvery=8', 'train.validateEvery=6'];
/** 32 tokens a step: about half of its 32 experts have some. */
const TOUCHED = [
  ...['moe.router=hash', 'moe.numExperts=32', 'train.globalBatch=1', 'train.expertUpdate=touched', ...STEPS],
];
const IN_FILE = [...TOUCHED, 'moe.expertStorage.kind=file'];

/** Bytes of the tensors of the last checkpoint. */
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
  // In two layers, of twelve steps after the restart.
  expect(Number(touched)).toBeGreaterThan(2 * 12 * 10);
  // More than once each to begin with, and for a validation.
  expect(Number(reads)).toBeGreaterThan(3 * 64);
});

it('settings that cannot be are answered in one line', async () => {
  const failure = async (...more: readonly string[]) => {
    const folder = temporaryFolder();
    const run = startTraining({ folder, ...LAYOUT, sets: [...IN_FILE, ...more] });
    const { code, stderr } = await run.finished;
    await run.expectNothingLeft();
    return { code, stderr, folder };
  };
  const [dense, tiny, small] = await Promise.all([
    failure('train.expertUpdate=dense'),
    failure('moe.expertStorage.budgetMB=0.06'),
    failure('moe.expertStorage.budgetMB=0.2'),
  ]);
  expect(dense.code).toBe(2);
  expect(dense.stderr).toMatch(
    /moe\.expertStorage\.kind: file needs train\.expertUpdate touched: with dense every step moves every expert\n/,
  );
  expect(tiny.code).toBe(2);
  expect(tiny.stderr).toMatch(
    /moe\.expertStorage\.budgetMB: 0\.06 has no room for an expert, which takes 0\.07 MB\n/,
  );
  expect(small.code).toBe(2);
  expect(small.stderr).toMatch(
    /run failed: rank \d, node 0, step 1, .*: moe\.expertStorage\.budgetMB has room for 3 \(0\.2 MB\) of this rank's experts, and a step needs at least \d+ \(\d+\.\d MB\)/,
  );
  expect(readdirSync(newestRun(small.folder)).filter((file) => file.includes('expert'))).toEqual([]);
});
