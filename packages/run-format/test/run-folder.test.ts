import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createRunFolder } from '../../../src/run/create-run-folder.js';
import { OVER } from '../../../test/coordinator/saved-run.js';
import { readRunFigures } from '../../bench/src/routers/run-figures.js';
import {
  appendRecord,
  dropRecordsAfter,
  type FailureReport,
  findRun,
  listRuns,
  RunFolder,
  recordedStepsAfter,
  runOf,
} from '../src/index.js';
import { globalStep } from './global-step.js';

let folder: RunFolder;
beforeEach(() => {
  folder = new RunFolder(mkdtempSync(path.join(tmpdir(), 'locmoe-folder-')));
});
afterEach(() => rmSync(folder.directory, { recursive: true }));

const records = () =>
  readFileSync(folder.metrics, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

describe('the metrics', () => {
  const heartbeat = { type: 'heartbeat', time: 5, ranks: [] } as const;
  const generation = { type: 'generation', time: 1, generation: 1, resumedFrom: null } as const;

  it('keep what belongs to no step when later steps are taken back', () => {
    const steps = [1, 2, 3].map((step) => ({ type: 'step' as const, time: step, ...globalStep(step) }));
    for (const record of [generation, steps[0], heartbeat, steps[1], steps[2], heartbeat])
      appendRecord(folder.metrics, record);
    dropRecordsAfter(folder.metrics, 2);
    expect(records()).toEqual([generation, steps[0], heartbeat, steps[1], heartbeat]);
  });

  it('are cut at the end, whatever lies before: they may be longer than any string', () => {
    // A line too long to be read as a string makes the file as large as 5 GB of metrics.
    const long = openSync(folder.metrics, 'w');
    ftruncateSync(long, 5e9);
    writeSync(long, '\n', 5e9);
    closeSync(long);
    for (const step of [1, 2, 3])
      appendRecord(folder.metrics, { type: 'step', time: step, ...globalStep(step) });
    const { size } = statSync(folder.metrics);
    dropRecordsAfter(folder.metrics, 3);
    expect(statSync(folder.metrics).size).toBe(size);
    expect(recordedStepsAfter(folder.metrics, 1)).toEqual({ first: 2, last: 3 });
    expect(recordedStepsAfter(folder.metrics, 3)).toBeNull();
  });

  it('keep the first record behind a line that a power failure cut short, and lose that line', () => {
    appendFileSync(folder.metrics, '{"type":"st');
    appendRecord(folder.metrics, generation);
    dropRecordsAfter(folder.metrics, 2);
    expect(records()).toEqual([generation]);
  });

  it('are read by the bench past the records it does not use', () => {
    for (const record of [generation, heartbeat, { type: 'step' as const, time: 6, ...globalStep(1) }])
      appendRecord(folder.metrics, record);
    appendRecord(folder.metrics, { type: 'step', time: 7, ...globalStep(2) });
    expect(readRunFigures(folder.metrics).steps).toBe(2);
  });
});

describe('a failure', () => {
  const report = (generation: number, code: string) => ({ generation, code }) as FailureReport;

  it('is kept under its generation once the next one trains or fails in its turn', () => {
    folder.archiveFailure();
    expect(folder.failures().map(({ code }) => code)).toEqual([]);
    folder.writeFailure(report(1, 'WORKER_DIED'));
    folder.archiveFailure();
    folder.writeFailure(report(2, 'NODE_LOST'));
    folder.writeFailure(report(3, 'INTERNAL'));
    expect(readdirSync(folder.directory).sort()).toEqual([
      'failure-1.json',
      'failure-2.json',
      'failure.json',
    ]);
    expect(folder.failures().map(({ code }) => code)).toEqual(['INTERNAL', 'NODE_LOST', 'WORKER_DIED']);
  });
});

it('the newest run is the one that was started or resumed last', () => {
  const runs = path.join(folder.directory, 'runs');
  const write = (runId: string, startedAt: string, ledSince?: string) => {
    const made = createRunFolder(runs, runId);
    made.writeRecord({
      ...OVER,
      runId: made.runId,
      startedAt,
      ...(ledSince === undefined ? {} : { ledSince }),
    });
    return made.runId;
  };
  const resumed = write('resumed', '2026-01-01T00:00:00Z', '2026-03-01T00:00:00Z');
  const newer = write('newer', '2026-02-01T00:00:00Z');
  expect(listRuns(runs).map(({ record }) => record.runId)).toEqual([resumed, newer]);
  expect(runOf(runs, newer)?.record.runId).toBe(newer);
  for (const name of ['..', 'nothing', `../runs/${newer}`]) expect(runOf(runs, name)).toBeNull();
});

it('a folder whose run.json is a pipe holds no run, and nothing waits for it', () => {
  const runs = path.join(folder.directory, 'runs');
  const { directory } = createRunFolder(runs, 'piped');
  execFileSync('mkfifo', [path.join(directory, 'run.json'), path.join(directory, 'config.json')]);
  expect(listRuns(runs)).toEqual([]);
  expect(() => findRun(runs, directory)).toThrow(`${directory} holds no readable run.json`);
  expect(new RunFolder(directory).readConfig(z.looseObject({}))).toBeNull();
  const nowhere = path.join(folder.directory, 'nowhere');
  expect(() => findRun(runs, nowhere)).toThrow(`${nowhere} does not exist; give the name`);
  expect(() => findRun(runs, 'nowhere')).toThrow(`run nowhere: ${runs}/nowhere holds no readable run.json`);
});
