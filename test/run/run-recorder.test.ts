import { readFileSync, rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { DiskTolerance } from '../../src/run/disk-tolerance.js';
import { RunRecorder } from '../../src/run/run-recorder.js';
import { OVER, savedRun } from '../coordinator/saved-run.js';
import { globalStep } from './global-step.js';

function recorderOf(warnings: string[]) {
  const folder = savedRun([1]);
  const disk = new DiskTolerance((line) => warnings.push(line));
  return { folder, recorder: new RunRecorder(folder, disk, { ...OVER, runId: folder.runId }, null) };
}

it('a full disk costs a run records, and it says so once', () => {
  const warnings: string[] = [];
  const { folder, recorder } = recorderOf(warnings);
  for (const file of [folder.metrics, path.join(folder.directory, 'run.json.tmp')]) {
    rmSync(file, { force: true });
    symlinkSync('/dev/full', file);
  }
  recorder.step(globalStep(2));
  recorder.state({ kind: 'running' });
  recorder.step(globalStep(3));
  expect(warnings).toEqual([
    expect.stringMatching(/^cannot write \/\S+\/metrics\.ndjson: ENOSPC.*; free some space; the run goes on/),
  ]);
  expect(folder.readRecord()?.state).toBe('waiting');

  rmSync(folder.metrics);
  recorder.step(globalStep(4));
  expect(readFileSync(folder.metrics, 'utf8')).toContain('"step":4');
});

it('records that cannot be written for another reason still end the run', () => {
  const warnings: string[] = [];
  const { folder, recorder } = recorderOf(warnings);
  rmSync(folder.directory, { recursive: true });
  expect(() => recorder.step(globalStep(2))).toThrow(/ENOENT.*metrics\.ndjson/);
  expect(() => recorder.state({ kind: 'running' })).toThrow(/ENOENT.*run\.json/);
  expect(warnings).toEqual([]);
});
