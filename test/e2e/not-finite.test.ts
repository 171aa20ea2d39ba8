import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { FailureReport } from '@locmoe/run-format';
import { describe, expect, it } from 'vitest';
import { Locmoe, lossCurve, newestRun, temporaryFolder, trainArguments } from './support.js';

it('a step that is not finite on one rank is skipped; three in a row end the generation with an account', async () => {
  const folder = temporaryFolder();
  const sets = ['train.checkpointEvery=5'];
  const run = new Locmoe(trainArguments({ folder, nodes: 2, workersPerNode: 1, sets }), {
    LOCMOE_FAIL: 'step.gradients:10:nan:rank=0,step.gradients:18-20:nan:rank=1',
  });
  const { code, stdout, stderr } = await run.finished;
  expect(code, stderr).toBe(3);
  await run.expectNothingLeft();
  expect(stdout).toContain('warning: step 10 is skipped: the gradient norm is NaN (1 in a row;');
  const curve = [...lossCurve(newestRun(folder))];
  expect(curve.filter(([, loss]) => loss === null).map(([step]) => step)).toEqual([10, 18, 19, 20]);
  expect(curve).toHaveLength(20);
  // Due at step 10; that of step 15 may still be on its way when the generation ends.
  expect(readdirSync(path.join(newestRun(folder), 'checkpoints'))).toEqual(
    expect.arrayContaining(['step-000005', 'step-000011']),
  );
  const report: FailureReport = JSON.parse(
    readFileSync(path.join(newestRun(folder), 'failure.json'), 'utf8'),
  );
  expect(report).toMatchObject({
    code: 'NOT_FINITE',
    rank: 1,
    node: 1,
    step: 20,
    layer: 1,
    suspectCheckpoint: null,
    checkpoint: expect.stringMatching(/step-0000(11|15)$/),
  });
  expect(report.message).toMatch(
    /^rank 1, .*: steps 18 to 20 were not finite: lower .*; .* gradient of layers\.1\.experts\.2\.w_in \(layer 1, expert 2\), which holds NaN; the text of this rank's batch is in its log$/,
  );
  expect(readFileSync(path.join(newestRun(folder), 'logs/node-1.ndjson'), 'utf8')).toMatch(
    /"batch of step 20: en tokens \d+ to \d+ .+, code tokens \d+ to \d+ .+"/,
  );
});

it('a validation that is not finite fails the generation before its weights are saved', async () => {
  const folder = temporaryFolder();
  const sets = [
    'train.learningRate=1e30',
    'train.validateEvery=2',
    'train.checkpointEvery=2',
    'train.steps=2',
  ];
  const run = new Locmoe(trainArguments({ folder, nodes: 1, workersPerNode: 1, sets }));
  const { code, stdout, stderr } = await run.finished;
  expect(code, stdout).toBe(3);
  expect(stderr).toMatch(
    /step 2, layer 0, validation: the validation loss of en is NaN: lower .*; the first bad tensor is the queries, keys and values of layers\.0\.attn/,
  );
  expect(stdout).not.toContain('validation at step');
  expect(existsSync(path.join(newestRun(folder), 'checkpoints'))).toBe(false);
});

describe('with restarts', () => {
  const start = (sets: readonly string[], fail = '') => {
    const folder = temporaryFolder();
    const layout = { nodes: 1, workersPerNode: 1, sets: ['cluster.maxRestarts=3', ...sets] };
    return { folder, run: new Locmoe(trainArguments({ folder, ...layout }), { LOCMOE_FAIL: fail }) };
  };

  it('a run goes back to the last good checkpoint, to the same losses as without the failure', async () => {
    const sets = ['train.checkpointEvery=5', 'train.steps=20'];
    const [{ run, folder }, sound] = [start(sets, 'step.gradients:11-13:nan:generation=1'), start(sets)];
    const { code, stdout, stderr } = await run.finished;
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/generation 1 failed: rank 0, .* steps 11 to 13 were not finite: .*; restarting/);
    // That of step 10 has the same weights.
    expect(stdout).toMatch(/recovered: .*, 8 steps /);
    expect((await sound.run.finished).code).toBe(0);
    expect(lossCurve(newestRun(folder))).toEqual(lossCurve(newestRun(sound.folder)));
  });

  it('a run that fails of its weights once more ends with 3 and says so', async () => {
    const { run } = start(['train.learningRate=1e30']);
    const { code, stdout, stderr } = await run.finished;
    expect(code, stderr).toBe(3);
    expect(stdout).toMatch(/generation 1 failed: .*; restarting/);
    expect(stderr).toMatch(/step 4, .* steps 2 to 4 were not finite/);
    expect(stderr).toContain('the same failure came twice in a row');
  });
});
