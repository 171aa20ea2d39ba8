import { rmSync, utimesSync } from 'node:fs';
import { appendRecord, Journal, type JournalEvent, type RunFolder, readJournal } from '@locmoe/run-format';
import { describe, expect, it } from 'vitest';
import { globalStep } from '../../../packages/run-format/test/global-step.js';
import { committedFolders } from '../../../src/checkpoint/folders.js';
import { loadConfig } from '../../../src/config/resolve.js';
import type { RunConfig } from '../../../src/config/schema.js';
import { adoptionOf } from '../../../src/coordinator/planning/adoption.js';
import { RunJournal } from '../../../src/coordinator/run-journal.js';
import { DiskTolerance } from '../../../src/run/disk-tolerance.js';
import { OVER, savedRun } from '../saved-run.js';

const config = loadConfig('tiny', { nodes: 1, workersPerNode: 1 });
const members = [{ node: 0, host: 'h', pid: 7, dataAddress: '127.0.0.1:9' }];
const TRAINS: readonly JournalEvent[] = [
  { type: 'lead', term: 1, pid: 1, host: 'h' },
  { type: 'generation', generation: 1, from: { kind: 'nothing', step: 0 }, nodes: 1, workersPerNode: 1 },
  { type: 'members', generation: 1, members },
  { type: 'running', generation: 1 },
];
const FAILURE: JournalEvent = {
  type: 'failure',
  generation: 1,
  code: 'WORKER_DIED',
  message: 'ended',
  rank: 0,
  node: 0,
  step: 3,
};

/** Makes a run of 4 steps, with a checkpoint of step 3, and this journal. */
function runWith(events: readonly JournalEvent[]): RunFolder {
  const folder = savedRun([3]);
  appendRecord(folder.metrics, { type: 'step', time: 4, ...globalStep(4) });
  folder.writeConfig(config);
  const journal = new Journal(folder.journal);
  for (const event of events) journal.append(event);
  journal.close();
  return folder;
}

const same = (asked: RunConfig) => asked;

describe('a generation', () => {
  it('whose nodes may still train can be adopted, with what is on disk of it', () => {
    const folder = runWith(TRAINS);
    const directory = expect.stringMatching(/step-000003$/);
    expect(adoptionOf(folder, same)).toMatchObject({
      generation: 1,
      members,
      config,
      step: 4,
      validation: null,
      committed: { step: 3, directory },
      isCommitRecorded: false,
    });
  });

  it('has as its last validation that of a step which all ranks have reported: others come again', () => {
    const folder = runWith(TRAINS);
    const validated = (step: number) => {
      const domains = [{ domain: 'general', loss: 1, tokens: 8 }];
      appendRecord(folder.metrics, { type: 'validation', time: step, step, domains });
    };
    validated(2);
    validated(5);
    expect(adoptionOf(folder, same)).toMatchObject({ step: 4, validation: { step: 2 } });
  });

  it.each([
    ['waits for its nodes', TRAINS.slice(0, 2)],
    ['loads', TRAINS.slice(0, 3)],
    ['has failed', [...TRAINS, FAILURE]],
    ['is over', [...TRAINS, { type: 'end', state: 'finished', exitCode: 0 } as const]],
    ['begins again', [...TRAINS, FAILURE, { ...TRAINS[1], generation: 2 } as JournalEvent]],
  ])('that %s cannot', (_what, events) => {
    expect(adoptionOf(runWith(events), same)).toBeNull();
  });

  it('that has said nothing for longer than nodes wait cannot', () => {
    const folder = runWith(TRAINS);
    const [inTimeMs, lateMs] = [29_000, 31_000].map((ms) => Date.now() + ms);
    expect(adoptionOf(folder, same, inTimeMs)).not.toBeNull();
    expect(adoptionOf(folder, same, lateMs)).toBeNull();
    utimesSync(folder.metrics, 1, 1);
    expect(adoptionOf(folder, same)).toBeNull();
  });

  it('cannot if another configuration is asked for, or it runs with fewer nodes', () => {
    const folder = runWith(TRAINS);
    expect(adoptionOf(folder, (saved) => ({ ...saved, seed: 99 }))).toBeNull();
    const fewer = TRAINS.map((event) => (event.type === 'generation' ? { ...event, nodes: 2 } : event));
    expect(adoptionOf(runWith(fewer), same)).toBeNull();
  });

  it('that began with weights of another run cannot before its first checkpoint: it could not begin anew', () => {
    const folder = runWith(TRAINS);
    folder.writeRecord({ ...OVER, runId: folder.runId, initFrom: { runId: 'other', step: 5 } });
    expect(adoptionOf(folder, same)).not.toBeNull();
    rmSync(folder.checkpoints, { recursive: true });
    expect(adoptionOf(folder, same)).toBeNull();
  });
});

it('a checkpoint that is in the metrics of an adopted run, and not in its journal, is noted there once', () => {
  const folder = runWith(TRAINS);
  const [directory] = committedFolders(folder.checkpoints);
  appendRecord(folder.metrics, { type: 'checkpoint', time: 5, step: 3, directory });
  for (const _takeover of [2, 3]) {
    const journal = new RunJournal(folder, 1, new DiskTolerance(() => undefined), (line) => {
      throw new Error(line);
    });
    journal.adopt(adoptionOf(folder, same)!);
    journal.close();
  }
  const noted = readJournal(folder.journal).filter(({ type }) => type === 'committed');
  expect(noted).toMatchObject([{ generation: 1, step: 3 }]);
});
