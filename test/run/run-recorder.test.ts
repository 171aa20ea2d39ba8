import { readFileSync, rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import type { Coordinator } from '../../src/coordinator/coordinator.js';
import type { RunView } from '../../src/coordinator/run-view.js';
import type { Dataset } from '../../src/data/dataset.js';
import { tolerateFullDisk } from '../../src/run/full-disk.js';
import type { RunSnapshot } from '../../src/run/run-listener.js';
import { RunRecorder } from '../../src/run/run-recorder.js';
import { savedRun } from '../coordinator/saved-run.js';
import { globalStep } from './global-step.js';

const RUN: RunSnapshot = { ranks: [], steps: 9, tokensPerS: 0, secondsLeft: 0 };

function recorderOf(warnings: string[]) {
  const folder = savedRun([1]);
  const view = { step: () => undefined } as Partial<RunView> as RunView;
  const recorder = new RunRecorder(
    ...([folder, view, {} as Dataset, tolerateFullDisk((line) => warnings.push(line))] as const),
  );
  const identity = { runId: folder.runId, generation: 2, datasetDir: '' };
  const coordinator = { options: { identity }, state: { kind: 'waiting' }, status: () => null };
  recorder.begin(
    coordinator as unknown as Coordinator,
    { address: '127.0.0.1:1', isSecured: false, forkedFrom: null },
    null,
  );
  return { folder, recorder };
}

it('a full disk costs a run records, and it says so once', () => {
  const warnings: string[] = [];
  const { folder, recorder } = recorderOf(warnings);
  for (const file of [folder.metrics, path.join(folder.directory, 'run.json.tmp')]) {
    rmSync(file, { force: true });
    symlinkSync('/dev/full', file);
  }
  recorder.step(globalStep(2), RUN);
  recorder.state({ kind: 'running' });
  recorder.step(globalStep(3), RUN);
  expect(warnings).toEqual([
    expect.stringMatching(/^cannot write \/\S+\/metrics\.ndjson: ENOSPC.*; free some space; the run goes on/),
  ]);
  expect(folder.readRecord()?.state).toBe('waiting');

  rmSync(folder.metrics);
  recorder.step(globalStep(4), RUN);
  expect(readFileSync(folder.metrics, 'utf8')).toContain('"step":4');
});

it('records that cannot be written for another reason still end the run', () => {
  const warnings: string[] = [];
  const { folder, recorder } = recorderOf(warnings);
  rmSync(folder.directory, { recursive: true });
  expect(() => recorder.step(globalStep(2), RUN)).toThrow(/ENOENT.*metrics\.ndjson/);
  expect(() => recorder.state({ kind: 'running' })).toThrow(/ENOENT.*run\.json/);
  expect(warnings).toEqual([]);
});
