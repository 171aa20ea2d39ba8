import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type FailureReport, RunFolder } from '@locmoe/run-format';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { saveCheckpoint } from '../../../src/checkpoint/checkpointer.js';
import { SAVE_OPERATION } from '../../../src/checkpoint/fence.js';
import { checkpointToResume } from '../../../src/coordinator/planning/suspect-checkpoint.js';
import { VALIDATION_OPERATION } from '../../../src/run/not-finite.js';
import { config, saveOptions, tensorsOf } from '../../checkpoint/fixture.js';

let folder: RunFolder;
beforeEach(() => {
  folder = new RunFolder(mkdtempSync(path.join(tmpdir(), 'locmoe-suspect-')));
  for (const step of [20, 30]) saveCheckpoint(saveOptions(folder.checkpoints, step, tensorsOf(0, 1, step)));
});
afterEach(() => rmSync(folder.directory, { recursive: true }));

const fail = (generation: number, code: string, step: number, operation: string | null = null) =>
  folder.writeFailure({ generation, code, step, operation } as FailureReport);

function resume(place = folder.directory, asked = config): { step: number; warnings: string[] } {
  const warnings: string[] = [];
  const warn = (warning: string) => warnings.push(warning);
  const { manifest } = checkpointToResume(folder, place, warn, () => asked);
  return { step: manifest.step, warnings };
}

it.each([31, 32, 33])(
  'a checkpoint that step %i, not finite, has its weights of is passed over, with the reason',
  (step) => {
    fail(1, 'NOT_FINITE', step);
    const reason = new RegExp(
      `step-000030 is skipped: step ${step} from its weights was NaN.*; trying the .* before`,
    );
    const passedOver = { step: 20, warnings: [expect.stringMatching(reason)] };
    expect(resume()).toEqual(passedOver);
    expect(resume(folder.checkpoints)).toEqual(passedOver);
    expect(resume(path.join(folder.checkpoints, 'step-000030'))).toEqual({ step: 30, warnings: [] });
  },
);

it('any other failure says nothing about a checkpoint', () => {
  expect(resume()).toEqual({ step: 30, warnings: [] });
  // Three steps in a row are skipped before the run fails, so an update was done after the checkpoint.
  fail(1, 'NOT_FINITE', 34);
  expect(resume()).toEqual({ step: 30, warnings: [] });
  fail(1, 'WORKER_DIED', 31);
  expect(resume()).toEqual({ step: 30, warnings: [] });
  // A save or a validation fails on the weights after the update, which the learning rate decides.
  for (const operation of [SAVE_OPERATION, VALIDATION_OPERATION]) {
    fail(1, 'NOT_FINITE', 31, operation);
    expect(resume()).toEqual({ step: 30, warnings: [] });
  }
});

it('it is remembered whatever comes after, until a later generation saves that step', () => {
  fail(1, 'NOT_FINITE', 31);
  folder.archiveFailure();
  expect(resume().step).toBe(20);
  fail(2, 'WORKER_DIED', 25);
  expect(resume().step).toBe(20);
  const again = saveOptions(folder.checkpoints, 30, tensorsOf(0, 1, 30));
  saveCheckpoint({ ...again, generation: 3 });
  expect(resume()).toEqual({ step: 30, warnings: [] });
});

it('what failed twice at the same step is not tried again with the same configuration, unless a step folder is named', () => {
  fail(1, 'NOT_FINITE', 35);
  folder.archiveFailure();
  fail(2, 'NOT_FINITE', 36);
  expect(resume().step).toBe(30);
  fail(2, 'NOT_FINITE', 35);
  expect(() => resume()).toThrow(
    /generations 1 and 2 failed because step 35 was not finite.*--set train\.learningRate=0\.0005$/,
  );
  const slower = { ...config, train: { ...config.train, learningRate: 5e-4 } };
  expect(resume(folder.directory, slower).step).toBe(30);
  folder.writeConfig(slower);
  expect(() => resume(folder.directory, slower)).toThrow(/--set train\.learningRate=0\.00025$/);
  fail(3, 'WORKER_DIED', 33);
  expect(() => resume()).toThrow(/generations 1 and 2 failed/);
  expect(resume(path.join(folder.checkpoints, 'step-000020')).step).toBe(20);
});
