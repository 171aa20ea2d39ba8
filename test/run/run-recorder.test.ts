import { readFileSync, rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { globalStep } from '../../packages/run-format/test/global-step.js';
import type { Heartbeat } from '../../src/rpc/generated/messages.js';
import { DiskTolerance } from '../../src/run/disk-tolerance.js';
import type { RunSnapshot } from '../../src/run/run-listener.js';
import { RunRecorder } from '../../src/run/run-recorder.js';
import { OVER, savedRun } from '../coordinator/saved-run.js';

function recorderOf(warnings: string[], now = Date.now) {
  const folder = savedRun([1]);
  const disk = new DiskTolerance((line) => warnings.push(line), now);
  return { folder, disk, recorder: new RunRecorder(folder, disk, { ...OVER, runId: folder.runId }, null) };
}

it('a full disk costs a run records, and it says so once, and counts them until they are written again', () => {
  const warnings: string[] = [];
  let now = 1_000;
  const { folder, disk, recorder } = recorderOf(warnings, () => now);
  expect(disk.notRecordingSince).toBeNull();
  for (const file of [folder.metrics, path.join(folder.directory, 'run.json.tmp')]) {
    rmSync(file, { force: true });
    symlinkSync('/dev/full', file);
  }
  recorder.step(globalStep(2));
  recorder.state({ kind: 'running' });
  now = 2_000;
  recorder.step(globalStep(3));
  expect(warnings).toEqual([
    expect.stringMatching(/^cannot write \/\S+\/metrics\.ndjson: ENOSPC.*; free some space; the run goes on/),
  ]);
  // The record fits into the blocks that it has.
  expect(folder.readRecord()?.state).toBe('running');

  rmSync(folder.metrics);
  now = 11_999;
  recorder.step(globalStep(4));
  expect(readFileSync(folder.metrics, 'utf8')).toContain('"step":4');
  // A short record may fit where the next one does not.
  expect([disk.notRecordingSince, disk.numLost]).toEqual([1_000, 2]);
  now = 12_000;
  recorder.step(globalStep(5));
  expect([disk.notRecordingSince, disk.numLost]).toEqual([null, 2]);
});

it('records that cannot be written for another reason still end the run', () => {
  const warnings: string[] = [];
  const { folder, recorder } = recorderOf(warnings);
  rmSync(folder.directory, { recursive: true });
  expect(() => recorder.step(globalStep(2))).toThrow(/ENOENT.*metrics\.ndjson/);
  expect(() => recorder.state({ kind: 'running' })).toThrow(/ENOENT.*run\.json/);
  expect(warnings).toEqual([]);
});

it('a run that is resumed keeps its beginning, and says since when it is led', () => {
  const folder = savedRun([1]);
  const beginning = '2026-01-02T03:04:05.000Z';
  folder.writeRecord({ ...OVER, runId: folder.runId, startedAt: beginning });
  new RunRecorder(folder, new DiskTolerance(() => {}), { ...OVER, runId: folder.runId }, null);
  const { startedAt, ledSince = '' } = folder.readRecord()!;
  expect(startedAt).toBe(beginning);
  expect(Date.now() - Date.parse(ledSince)).toBeLessThan(60_000);
});

it('a heartbeat has what each rank spends on a step itself, once there was one', () => {
  const { folder, recorder } = recorderOf([]);
  const ranks = [{ rank: 0 }, { rank: 1 }] as unknown as RunSnapshot['ranks'];
  const speeds = [{ rank: 1, p50Ms: 12.345, p99Ms: 20, lostShare: 0.12345 }];
  recorder.heartbeat(0, {} as Heartbeat, { ranks, speeds, steps: 5, tokensPerS: 1, secondsLeft: 1 });
  expect(JSON.parse(readFileSync(folder.metrics, 'utf8').trimEnd().split('\n').at(-1)!).ranks).toEqual([
    { rank: 0 },
    { rank: 1, ownMs: 12.3, lostShare: 0.123 },
  ]);
});
