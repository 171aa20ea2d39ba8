import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { appendRecord, type RunFolder, type RunRecord } from '@locmoe/run-format';
import { onTestFinished } from 'vitest';
import { globalStep } from '../../packages/run-format/test/global-step.js';
import { saveCheckpoint } from '../../src/checkpoint/checkpointer.js';
import type { RunOptions } from '../../src/coordinator/planning/run-options.js';
import { createRunFolder } from '../../src/run/create-run-folder.js';
import { saveOptions, tensorsOf } from '../checkpoint/fixture.js';

/** The record of a run that is over. */
export const OVER: RunRecord = {
  runId: 'r',
  generation: 1,
  address: '127.0.0.1:1',
  isSecured: false,
  pid: 1,
  process: '',
  state: 'finished',
  startedAt: '',
  datasetDir: '',
  forkedFrom: null,
  initFrom: null,
};

export const OPTIONS: RunOptions = {
  set: [],
  fork: false,
  runsDir: 'runs',
  dataDir: 'data',
  samples: true,
  allowFaults: false,
  http: '127.0.0.1:0',
};

/**
 * Makes a run that is over, with these checkpoints and metrics up to the last of them; it is removed after the test.
 */
export function savedRun(steps: readonly number[], generation = 1): RunFolder {
  const parent = mkdtempSync(path.join(tmpdir(), 'locmoe-saved-'));
  onTestFinished(() => rmSync(parent, { recursive: true }));
  const folder = createRunFolder(parent, 'saved');
  folder.writeRecord({ ...OVER, runId: folder.runId });
  for (const step of steps) saveStep(folder, step, generation);
  for (let step = 1; step <= Math.max(...steps); step++)
    appendRecord(folder.metrics, { type: 'step', time: step, ...globalStep(step) });
  return folder;
}

/** Saves one more checkpoint of a run. */
export function saveStep(
  folder: RunFolder,
  step: number,
  generation: number,
  metrics: Readonly<Record<string, number>> = {},
): string {
  const options = saveOptions(folder.checkpoints, step, tensorsOf(0, 1, step));
  return saveCheckpoint({ ...options, generation, keep: 9, runId: folder.runId, metrics });
}
