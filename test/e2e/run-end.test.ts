import { readdirSync, readFileSync, renameSync, truncateSync } from 'node:fs';
import path from 'node:path';
import { readRecords } from '@locmoe/run-format';
import { expect, it } from 'vitest';
import { readManifest } from '../../src/checkpoint/manifest.js';
import { runCommand } from '../run-command.js';
import {
  DATA_DIR,
  type Finished,
  lossCurve,
  newestRun,
  startTraining,
  temporaryFolder,
  UNHURRIED,
} from './support.js';

const LAYOUT = { nodes: 1, workersPerNode: 1 };

/** Trains the micro model; returns its output and the run's folder. */
async function train(folder: string, sets: readonly string[], resume?: string, env = {}) {
  const run = startTraining({ folder, ...LAYOUT, sets, env, ...(resume !== undefined && { resume }) });
  const finished = await run.finished;
  return { finished, run: newestRun(folder) };
}

function expectDone({ code, stdout, stderr }: Finished): void {
  expect(code, stdout + stderr).toBe(0);
}

function checkpointsOf(run: string): string[] {
  return readdirSync(path.join(run, 'checkpoints')).filter((name) => name.startsWith('step-'));
}

function metricsOf(run: string, step: string): Readonly<Record<string, number>> {
  return readManifest(path.join(run, 'checkpoints', step)).metrics;
}

function validatedSteps(run: string): number[] {
  return readRecords(path.join(run, 'metrics.ndjson')).flatMap((record) =>
    record.type === 'validation' ? [record.step] : [],
  );
}

it('a run ends with the last step that train.maxTokens allows, its schedule with it, and says how to go on', async () => {
  const folder = temporaryFolder();
  // A step has eight sequences of 32 tokens.
  const { finished, run } = await train(folder, ['train.maxTokens=2600', 'train.endLearningRate=0.001']);
  expectDone(finished);
  expect(finished.stdout).toContain(': the run has trained on 2560 tokens, and train.maxTokens is 2600');
  expect(validatedSteps(run)).toEqual([10]);
  expect(checkpointsOf(run)).toEqual(['step-000010']);
  const last = readRecords(path.join(run, 'metrics.ndjson')).findLast((record) => record.type === 'step');
  expect(last).toMatchObject({ step: 10, learningRate: 0.001 });

  const again = await train(folder, ['train.maxTokens=2600'], run);
  expect(again.finished.code).toBe(2);
  expect(again.finished.stderr).toMatch(
    /has trained on 2560 tokens, and train\.maxTokens is 2600; go further with --set train\.maxTokens=5120\n$/,
  );
});

it('a run ends after train.maxHours of training, counted over resumes, with a validation and a checkpoint', async () => {
  const folder = temporaryFolder();
  const long = [
    'train.steps=100000',
    'train.checkpointEvery=100000',
    'train.validateEvery=100000',
    'train.endLearningRate=0.001',
    'train.warmupSteps=1',
  ];
  const lastRate = (folder: string) => {
    const records = readRecords(path.join(folder, 'metrics.ndjson'));
    return records.flatMap((record) => (record.type === 'step' ? [record.learningRate] : [])).at(-1);
  };
  const seconds = (count: number) => `train.maxHours=${count / 3600}`;
  const { finished, run } = await train(folder, [...long, seconds(1)], undefined, UNHURRIED);
  expectDone(finished);
  expect(finished.stdout).toMatch(/: the run has trained for 0\.\d+ h, and train\.maxHours is 0\.\d+\n/);
  const [first] = checkpointsOf(run);
  const steps = Number(/\d+/.exec(first));
  expect(lossCurve(run).size).toBe(steps);
  expect(validatedSteps(run)).toEqual([steps]);
  // The schedule has decayed with time, though only few of the steps are done.
  expect(lastRate(run)).toBe(0.001);
  const before = metricsOf(run, first).trainingSeconds;
  expect(before).toBeGreaterThan(1);

  expectDone((await train(folder, [...long, seconds(before + 1)], run, UNHURRIED)).finished);
  expect(lastRate(run)).toBe(0.001);
  const last = checkpointsOf(run).at(-1)!;
  const after = metricsOf(run, last).trainingSeconds;
  expect(after).toBeGreaterThan(before + 1);
  const times = readRecords(path.join(run, 'metrics.ndjson')).flatMap((record) =>
    record.type === 'step' && record.step > steps ? [record.time] : [],
  );
  expect(times.length).toBe(Number(/\d+/.exec(last)) - steps);
  // The time of the second generation is added.
  expect(after - before).toBeGreaterThan((times.at(-1)! - times[0]) / 1000 - 0.5);
});

it('an early stop counts on in a resumed run, which keeps its best checkpoint', async () => {
  // No validation after the first counts as better.
  const sets = [
    'train.validateEvery=4',
    'train.earlyStop={patience: 3, minDelta: 10}',
    'train.keepCheckpoints=1',
  ];
  const folder = temporaryFolder();
  const first = await train(folder, [...sets, 'train.steps=8']);
  expectDone(first.finished);
  expect(metricsOf(first.run, 'step-000008')).toMatchObject({ bestStep: 4, validationsSinceBest: 1 });

  // A run may be renamed, and still has its best checkpoint.
  const renamed = path.join(path.dirname(first.run), 'renamed');
  renameSync(first.run, renamed);
  const { finished, run } = await train(folder, sets, renamed);
  expectDone(finished);
  expect(finished.stdout).toMatch(
    /: the run has not lowered its validation loss of \d\.\d{3} at step 4 for 3 validations, and /,
  );
  expect(finished.stdout).toMatch(/^best: \S+step-000004, validation loss \d\.\d{3}$/m);
  expect(finished.stdout).toMatch(/cli\.js eval --checkpoint \S+step-000004\n/);
  expect(validatedSteps(run)).toEqual([4, 8, 12, 16]);
  expect(checkpointsOf(run)).toEqual(['step-000004', 'step-000016']);
  expect(JSON.parse(readFileSync(path.join(run, 'summary.json'), 'utf8'))).toMatchObject({
    best: { checkpoint: path.join(run, 'checkpoints/step-000004') },
    end: expect.stringContaining('train.earlyStop.patience is 3'),
    meaning: expect.arrayContaining([expect.stringMatching(/^Perplexity on held-out text at step 16: /)]),
  });

  const takenBy = async () => (await runCommand('eval', '--checkpoint', run, '--data-dir', DATA_DIR)).stderr;
  expect(await takenBy()).toContain('step 4 is taken, which has the best validation; the newest is step 16');
  truncateSync(path.join(run, 'checkpoints/step-000004/manifest.json'));
  expect(await takenBy()).toMatch(/step 4 has the best validation, the newest, step 16, is taken$/m);
});
