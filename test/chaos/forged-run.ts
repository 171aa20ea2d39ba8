import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  appendRecord,
  Journal,
  type JournalEntry,
  type MetricsRecord,
  type RunFolder,
} from '@locmoe/run-format';
import { onTestFinished } from 'vitest';
import { globalLayer, globalStep } from '../../packages/run-format/test/global-step.js';
import { appendChaosRecord, type ChaosRecord } from '../../src/chaos/chaos-record.js';
import { createRunFolder } from '../../src/run/create-run-folder.js';
import { config } from '../checkpoint/fixture.js';
import { saveStep } from '../coordinator/saved-run.js';

/** What a run's folder records; times are in ms. */
export interface Story {
  journal: JournalEntry[];
  records: MetricsRecord[];
  faults: ChaosRecord[];
  /** The keys are steps, the values the generations that saved them. */
  checkpoints: Map<number, number>;
}

export const KILL: ChaosRecord = {
  time: 100,
  seed: 1,
  index: 0,
  fault: 'worker-kill',
  rank: 2,
  node: 1,
  pid: 9,
  durationS: 0,
  detail: 'SIGKILL of rank 2 (pid 9)',
};

export function stepRecord(step: number): Extract<MetricsRecord, { type: 'step' }> {
  const layer = { ...globalLayer(1), routed: [40, 30, 20, 10], kept: [33, 28, 19, 10] };
  return { type: 'step', time: step, ...globalStep(step, [layer]) };
}

/** Two nodes with two workers lost rank 2 in step 7, went on from step 4, and finished with step 8. */
export function soundStory(): Story {
  const layout = { nodes: 2, workersPerNode: 2 };
  const generation = (number: number, resumedFrom: number | null): MetricsRecord => ({
    type: 'generation',
    time: 0,
    generation: number,
    resumedFrom,
  });
  return {
    journal: [
      { time: 0, type: 'lead', term: 1, pid: 5, host: 'h' },
      { time: 1, type: 'generation', generation: 1, from: { kind: 'nothing', step: 0 }, ...layout },
      { time: 2, type: 'members', generation: 1, members: [] },
      { time: 3, type: 'running', generation: 1 },
      { time: 50, type: 'committed', generation: 1, step: 4 },
      {
        time: 110,
        type: 'failure',
        generation: 1,
        code: 'WORKER_DIED',
        message: 'killed',
        rank: 2,
        node: 1,
        step: 7,
      },
      { time: 111, type: 'generation', generation: 2, from: { kind: 'checkpoint', step: 4 }, ...layout },
      { time: 112, type: 'members', generation: 2, members: [] },
      { time: 113, type: 'running', generation: 2 },
      {
        time: 120,
        type: 'recovered',
        generation: 2,
        detectedS: 0.01,
        restartedS: 0.02,
        lostSteps: 3,
        lostS: 0.1,
      },
      { time: 200, type: 'committed', generation: 2, step: 8 },
      { time: 300, type: 'end', state: 'finished', exitCode: 0 },
    ],
    records: [generation(1, null), generation(2, 4), ...[1, 2, 3, 4, 5, 6, 7, 8].map(stepRecord)],
    faults: [KILL],
    checkpoints: new Map([
      [4, 1],
      [8, 2],
    ]),
  };
}

/** Writes a run folder that records a story; it is removed after the test. */
export function forgedRun({ journal, records, faults, checkpoints }: Story): RunFolder {
  const parent = mkdtempSync(path.join(tmpdir(), 'locmoe-forged-'));
  onTestFinished(() => rmSync(parent, { recursive: true }));
  const folder = createRunFolder(parent, 'forged');
  folder.writeConfig({ ...config, cluster: { ...config.cluster, nodes: 2, workersPerNode: 2 } });
  const file = new Journal(folder.journal);
  for (const entry of journal) file.append(entry);
  file.close();
  for (const record of records) appendRecord(folder.metrics, record);
  for (const fault of faults) appendChaosRecord(folder.directory, fault);
  for (const [step, generation] of checkpoints) saveStep(folder, step, generation);
  return folder;
}
