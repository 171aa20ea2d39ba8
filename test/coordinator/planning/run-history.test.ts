import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { appendRecord, type FailureReport, type RunFolder, recordedStepsAfter } from '@locmoe/run-format';
import { describe, expect, it } from 'vitest';
import { globalStep } from '../../../packages/run-format/test/global-step.js';
import { openCheckpoint } from '../../../src/checkpoint/checkpoint.js';
import { committedFolders } from '../../../src/checkpoint/folders.js';
import type { RunConfig } from '../../../src/config/schema.js';
import { truncateHistory, warnOfLosses } from '../../../src/coordinator/planning/run-history.js';
import type { RunPlan } from '../../../src/coordinator/planning/run-options.js';
import { savedRun } from '../saved-run.js';

function planOf(folder: RunFolder, step: string, change: (config: RunConfig) => RunConfig): RunPlan {
  const checkpoint = openCheckpoint(path.join(folder.checkpoints, step));
  return {
    config: change(checkpoint.manifest.config),
    checkpoint,
    resumed: { folder, generation: 2, giveUp: () => undefined },
    adopts: null,
    init: null,
    forkedFrom: null,
    initFrom: null,
    dataset: { dir: folder.readRecord()?.datasetDir } as RunPlan['dataset'],
  };
}

const same = (config: RunConfig) => config;
const slower = (config: RunConfig) => ({ ...config, train: { ...config.train, learningRate: 1e-4 } });

function told(plan: RunPlan) {
  const said: string[] = [];
  const warned: string[] = [];
  warnOfLosses(plan, { say: (line) => said.push(line), warn: (line) => warned.push(line) });
  return { said, warned };
}

describe('what a resumed run loses', () => {
  it('is nothing to speak of if it does the same steps again', () => {
    const folder = savedRun([2]);
    appendRecord(folder.metrics, { type: 'step', time: 1, ...globalStep(3) });
    expect(told(planOf(folder, 'step-000002', same))).toEqual({ said: [], warned: [] });
  });

  it('is told step by step and by name when it goes back', () => {
    const folder = savedRun([2, 4, 6]);
    writeFileSync(path.join(folder.directory, 'summary.json'), '{}');
    folder.writeConfig({} as RunConfig);
    const { warned } = told(planOf(folder, 'step-000002', same));
    expect(warned).toEqual([
      `run ${folder.runId} goes back to step 2; it loses the metrics of steps 3 to 6 when training begins, step-000006, step-000004 at the first checkpoint, and its config.json and summary.json; to keep all that, end this and start a new run with --fork`,
    ]);
  });

  it('is told when other steps take the place of those that were done', () => {
    const folder = savedRun([2]);
    expect(told(planOf(folder, 'step-000002', slower))).toEqual({
      said: [`run ${folder.runId} goes on with another configuration: train.learningRate 0.001 -> 0.0001`],
      warned: [],
    });
    appendRecord(folder.metrics, { type: 'step', time: 1, ...globalStep(3) });
    expect(told(planOf(folder, 'step-000002', slower)).warned).toEqual([
      expect.stringContaining('loses the metrics of step 3 when training begins; to keep all that'),
    ]);
  });
});

it('a configuration that no checkpoint has yet is not taken back in silence', () => {
  const folder = savedRun([2]);
  const plan = planOf(folder, 'step-000002', same);
  folder.writeConfig(slower(plan.config));
  appendRecord(folder.metrics, { type: 'step', time: 1, ...globalStep(3) });
  const { said, warned } = told(plan);
  expect(said).toEqual([
    `run ${folder.runId} last trained with train.learningRate 0.0001 -> 0.001, which its checkpoint does not have: give it again to keep it`,
  ]);
  expect(warned).toEqual([expect.stringContaining('loses the metrics of step 3 ')]);
  expect(told(planOf(folder, 'step-000002', slower)).said).toHaveLength(1);
});

it('a resumed run takes the place of what was there only once it trains', () => {
  const folder = savedRun([2, 4]);
  folder.writeConfig({ name: 'before' } as RunConfig);
  folder.writeFailure({ generation: 1, code: 'WORKER_DIED' } as FailureReport);
  const files = ['config.json', 'metrics.ndjson', 'failure.json'].map((name) =>
    path.join(folder.directory, name),
  );
  const before = files.map((file) => readFileSync(file, 'utf8'));
  const listener = truncateHistory(folder, planOf(folder, 'step-000002', slower));
  listener.state?.({ kind: 'starting' });
  expect(files.map((file) => readFileSync(file, 'utf8'))).toEqual(before);
  listener.state?.({ kind: 'running' });
  expect(recordedStepsAfter(folder.metrics, 0)).toEqual({ first: 1, last: 2 });
  expect(JSON.parse(readFileSync(files[0], 'utf8')).train.learningRate).toBe(1e-4);
  expect(existsSync(files[2])).toBe(false);
  expect(existsSync(path.join(folder.directory, 'failure-1.json'))).toBe(true);
  expect(committedFolders(folder.checkpoints)).toHaveLength(2);
});
