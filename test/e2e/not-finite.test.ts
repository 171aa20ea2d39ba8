import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { FailureReport } from '@locmoe/run-format';
import { expect, it } from 'vitest';
import { lossCurve, newestRun, startTraining, temporaryFolder } from './support.js';

/** Trains with one worker on each node, until the run ends or fails. */
async function train(sets: readonly string[], { nodes = 1, fail = '' } = {}) {
  const folder = temporaryFolder();
  const run = startTraining({ folder, nodes, workersPerNode: 1, sets, env: { LOCMOE_FAIL: fail } });
  const end = await run.finished;
  await run.expectNothingLeft();
  return { ...end, directory: newestRun(folder) };
}

it('a step that is not finite on one rank is skipped; three in a row end the generation with an account', async () => {
  const fail = 'step.gradients:4:nan:rank=0,step.gradients:8-10:nan:rank=1';
  const { code, stdout, stderr, directory } = await train(['train.checkpointEvery=2'], { nodes: 2, fail });
  expect(code, stderr).toBe(3);
  expect(stdout).toContain('warning: step 4 is skipped: the gradient norm is NaN (1 in a row;');
  const curve = [...lossCurve(directory)];
  expect(curve.filter(([, loss]) => loss === null).map(([step]) => step)).toEqual([4, 8, 9, 10]);
  expect(curve).toHaveLength(10);
  // The checkpoint due at the skipped step 4 is saved at step 5; that of step 6 may be unfinished when the generation
  // ends.
  expect(readdirSync(path.join(directory, 'checkpoints'))).toEqual(
    expect.arrayContaining(['step-000002', 'step-000005']),
  );
  const report: FailureReport = JSON.parse(readFileSync(path.join(directory, 'failure.json'), 'utf8'));
  expect(report).toMatchObject({
    code: 'NOT_FINITE',
    rank: 1,
    node: 1,
    step: 10,
    layer: 1,
    suspectCheckpoint: null,
    checkpoint: expect.stringMatching(/step-00000[56]$/),
  });
  expect(report.message).toMatch(
    /^rank 1, .*: steps 8 to 10 were not finite: lower .*train\.learningRate.* gradient of layers\.1\.experts\.2\.w_in \(layer 1, expert 2\), which holds NaN; the text of this rank's batch is in its log$/,
  );
  // This is half the learning rate that it had.
  expect(stderr).toMatch(/resume: .*step-00000[56] .*--set train\.learningRate=0\.005/);
  expect(readFileSync(path.join(directory, 'logs/node-1.ndjson'), 'utf8')).toMatch(
    /"batch of step 10: en tokens \d+ to \d+ .+, code tokens \d+ to \d+ .+"/,
  );
});

it('a validation that is not finite fails the generation before its weights are saved', async () => {
  const { code, stdout, stderr, directory } = await train([
    'train.learningRate=1e30',
    'train.validateEvery=2',
    'train.checkpointEvery=2',
    'train.steps=2',
  ]);
  expect(code, stdout).toBe(3);
  expect(stderr).toMatch(
    /step 2, layer 0, validation: the validation loss of en is NaN: lower .*; the first bad tensor is the queries, keys and values of layers\.0\.attn/,
  );
  expect(stdout).not.toContain('validation at step');
  expect(existsSync(path.join(directory, 'checkpoints'))).toBe(false);
});

it('a run goes back to the last good checkpoint, to the same losses as without the failure', async () => {
  const sets = ['cluster.maxRestarts=3', 'train.checkpointEvery=3', 'train.steps=10'];
  const [failed, sound] = [
    await train(sets, { fail: 'step.gradients:7-9:nan:generation=1' }),
    await train(sets),
  ];
  expect([failed.code, sound.code], failed.stderr + sound.stderr).toEqual([0, 0]);
  expect(failed.stdout).toMatch(
    /generation 1 failed: rank 0, .* steps 7 to 9 were not finite: .*; restarting/,
  );
  // The checkpoint of step 6 has the same weights as those of the skipped steps.
  expect(failed.stdout).toMatch(/recovered: .*, 6 steps /);
  expect(lossCurve(failed.directory)).toEqual(lossCurve(sound.directory));
});

it('a run that fails of its weights once more ends with 3 and says so', async () => {
  const { code, stdout, stderr } = await train(['cluster.maxRestarts=3', 'train.learningRate=1e30']);
  expect(code, stderr).toBe(3);
  expect(stdout).toMatch(/generation 1 failed: .*; restarting/);
  expect(stderr).toMatch(/step 4, .* steps 2 to 4 were not finite/);
  expect(stderr).toContain('the same failure occurred twice in a row');
});
