import { rmSync, utimesSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/resolve.js';
import type { RunConfig } from '../../src/config/schema.js';
import { adoptionOf } from '../../src/coordinator/adoption.js';
import { Journal } from '../../src/run/journal.js';
import type { JournalEvent } from '../../src/run/journal-events.js';
import { appendRecord } from '../../src/run/metrics-writer.js';
import type { RunFolder } from '../../src/run/run-folder.js';
import { globalStep } from '../run/global-step.js';
import { OVER, savedRun } from './saved-run.js';

const config = loadConfig('tiny', { nodes: 1, workersPerNode: 1 });
const members = [{ node: 0, host: 'h', pid: 7, dataAddress: '127.0.0.1:9' }];
const TRAINS: readonly JournalEvent[] = [
  { type: 'lead', term: 1, pid: 1, host: 'h' },
  { type: 'generation', generation: 1, from: { kind: 'nothing', step: 0 }, nodes: 1, workersPerNode: 1 },
  { type: 'members', generation: 1, members },
  { type: 'running', generation: 1 },
];
const FAILURE: JournalEvent = {
  ...{ type: 'failure', generation: 1, code: 'WORKER_DIED', message: 'ended' },
  ...{ rank: 0, node: 0, step: 3 },
};

/** A run of 4 steps, with a checkpoint of step 3, and this journal. */
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
      ...{ generation: 1, members, config, step: 4, validatedStep: -1 },
      committed: { step: 3, directory, isRecorded: false },
    });
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
