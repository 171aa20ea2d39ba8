import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { saveCheckpoint } from '../../src/checkpoint/index.js';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import type { FailureReport } from '../../src/coordinator/failure-report.js';
import { RunFolder } from '../../src/coordinator/run-folder.js';
import { checkpointToResume } from '../../src/coordinator/suspect-checkpoint.js';
import { saveOptions, tensorsOf } from '../checkpoint/fixture.js';

let folder: RunFolder;
beforeEach(() => {
  folder = new RunFolder(mkdtempSync(path.join(tmpdir(), 'locmoe-suspect-')));
  for (const step of [20, 30])
    saveCheckpoint(soloTransport(), saveOptions(folder.checkpoints, step, tensorsOf(0, 1, step)));
});
afterEach(() => rmSync(folder.directory, { recursive: true }));

const fail = (generation: number, code: string, step: number) =>
  folder.writeFailure({ generation, code, step } as FailureReport);

function resume(place = folder.directory): { step: number; warnings: string[] } {
  const warnings: string[] = [];
  const { manifest } = checkpointToResume(folder, place, (warning) => warnings.push(warning));
  return { step: manifest.step, warnings };
}

it('a checkpoint whose next step was not finite is passed over, with the reason', () => {
  fail(1, 'NOT_FINITE', 31);
  const passedOver = {
    step: 20,
    warnings: [expect.stringMatching(/step-000030: from it step 31 was not finite.*; trying the .* before/)],
  };
  expect(resume()).toEqual(passedOver);
  expect(resume(folder.checkpoints)).toEqual(passedOver);
  expect(resume(path.join(folder.checkpoints, 'step-000030'))).toEqual({ step: 30, warnings: [] });
});

it('any other failure, or one of an earlier generation, says nothing about a checkpoint', () => {
  expect(resume()).toEqual({ step: 30, warnings: [] });
  fail(1, 'NOT_FINITE', 32);
  expect(resume()).toEqual({ step: 30, warnings: [] });
  fail(1, 'WORKER_DIED', 31);
  expect(resume()).toEqual({ step: 30, warnings: [] });
  fail(1, 'NOT_FINITE', 31);
  folder.archiveFailure();
  expect(resume()).toEqual({ step: 30, warnings: [] });
});

it('what failed twice in a row at the same step is not tried again, unless a step folder is named', () => {
  fail(1, 'NOT_FINITE', 35);
  folder.archiveFailure();
  fail(2, 'NOT_FINITE', 36);
  expect(resume().step).toBe(30);
  fail(2, 'NOT_FINITE', 35);
  expect(() => resume()).toThrow(
    /generations 1 and 2 both failed because step 35 was not finite.*--resume .*step-/,
  );
  expect(resume(path.join(folder.checkpoints, 'step-000020')).step).toBe(20);
});
