import { readFileSync } from 'node:fs';
import path from 'node:path';
import { type MetricsRecordOf, readRecords } from '@locmoe/run-format';
import { expect, it } from 'vitest';
import { newestRun, startTraining, temporaryFolder, trainToTheEnd } from './support.js';

const DENSE = ['model.numDenseLayers=3', 'model.numSparseLayers=0', 'train.steps=2'];
/** With hash routing the gate weights are 1. */
const SPARSE = ['moe.router=hash', 'train.steps=3'];

/** Losses of the domains at a step, rounded to the digits in which two layouts agree. */
function lossesAt(run: string, step: number): Record<string, string>[] {
  const isWanted = (record: { type: string }): record is MetricsRecordOf<'validation'> =>
    record.type === 'validation' && 'step' in record && record.step === step;
  return readRecords(path.join(run, 'metrics.ndjson'))
    .filter(isWanted)
    .map(({ domains }) => Object.fromEntries(domains.map(({ domain, loss }) => [domain, loss.toFixed(4)])));
}

it('--inherit grows a model from a dense one on several ranks, again after a failure, and with noise', async () => {
  const folder = temporaryFolder();
  const dense = await trainToTheEnd({ folder, nodes: 1, workersPerNode: 1, sets: DENSE });
  const [denseLosses] = lossesAt(dense, 2);

  const noNoise = temporaryFolder();
  const run = startTraining({
    folder: noNoise,
    nodes: 1,
    workersPerNode: 2,
    // The shared expert takes half of the hidden units; every routed expert takes the others.
    sets: [...SPARSE, 'moe.dFeedForward=32', 'moe.sharedExperts=1', 'cluster.maxRestarts=1'],
    more: ['--inherit', path.join(dense, 'checkpoints/step-000002')],
    env: { LOCMOE_FAIL: 'step.begun:2:kill:rank=1:generation=1' },
  });
  const { code, stdout, stderr } = await run.finished;
  expect(code, stdout + stderr).toBe(0);
  expect(stdout).toContain(
    `it grows from step 2 of the dense run ${path.basename(dense)}: experts are exact slices of its feed-forward networks`,
  );
  expect(stdout).toContain('recovered: ');
  const inherited = newestRun(noNoise);
  expect(lossesAt(inherited, 0)).toEqual([denseLosses, denseLosses]);

  const noise = ['--inherit', dense, '--inherit-noise', '0.5', '--inherit-seed', '3'];
  const noisy = await trainToTheEnd({
    folder: temporaryFolder(),
    nodes: 1,
    workersPerNode: 1,
    sets: ['moe.router=hash', 'train.steps=1'],
    more: noise,
  });
  expect(lossesAt(noisy, 0)).not.toEqual([denseLosses]);
  expect(JSON.parse(readFileSync(path.join(noisy, 'run.json'), 'utf8'))).toMatchObject({
    initFrom: { runId: path.basename(dense), step: 2, inheritance: { noise: 0.5, seed: 3 } },
  });
});
