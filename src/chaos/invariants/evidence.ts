import { existsSync } from 'node:fs';
import path from 'node:path';
import {
  generationOf,
  type JournalEntry,
  type MetricsRecord,
  type MetricsRecordOf,
  RunFolder,
  readJournal,
  readRecords,
  stepOf,
} from '@locmoe/run-format';
import { committedFolders } from '../../checkpoint/folders.js';
import { openStored } from '../../checkpoint/open-stored.js';
import { type RunConfig, runSchema } from '../../config/schema.js';
import { type ChaosRecord, readChaosRecords } from '../chaos-record.js';

export interface CheckpointEvidence {
  /** Name of the checkpoint's folder. */
  readonly folder: string;
  readonly step: number;
  /** Generation that wrote the checkpoint; null if its manifest cannot be read. */
  readonly generation: number | null;
  /** Reason why the checkpoint does not load; null if it loads and all hashes match. */
  readonly problem: string | null;
  readonly tensors: readonly string[];
}

/** Facts about a run that are not in its folder; null where they are unknown. */
export interface Circumstances {
  /** Folder of a run of the same configuration without faults. */
  readonly twin: string | null;
  readonly exitCode: number | null;
  /** Processes and files that were left a while after the end (evidence-of-run.ts). */
  readonly leftovers: readonly string[] | null;
}

/** Everything that the invariants are checked on. */
export interface RunEvidence extends Omit<Circumstances, 'twin'>, Training {
  readonly journal: readonly JournalEntry[];
  readonly faults: readonly ChaosRecord[];
  /** Newest first. */
  readonly checkpoints: readonly CheckpointEvidence[];
  readonly twin: Training | null;
}

interface Training {
  readonly config: RunConfig | null;
  readonly records: readonly MetricsRecord[];
}

function trainingOf(folder: RunFolder): Training {
  return { config: folder.readConfig(runSchema), records: readRecords(folder.metrics) };
}

/** Reads a run's folder; the run may be going on. */
export function readEvidence(directory: string, { twin, ...known }: Circumstances): RunEvidence {
  const folder = new RunFolder(directory);
  return {
    ...known,
    ...trainingOf(folder),
    journal: readJournal(folder.journal),
    faults: readChaosRecords(directory),
    checkpoints: committedFolders(folder.checkpoints).flatMap((each) => checkpointEvidence(each) ?? []),
    twin: twin === null ? null : trainingOf(new RunFolder(twin)),
  };
}

/** Returns the records of steps, in the order of the file. */
export function stepsOf(records: readonly MetricsRecord[]): MetricsRecordOf<'step'>[] {
  return records.filter((record) => record.type === 'step');
}

/** Returns null if the checkpoint was deleted meanwhile. */
function checkpointEvidence(folder: string): CheckpointEvidence | null {
  const name = { folder: path.basename(folder), step: stepOf(folder), generation: generationOf(folder) };
  try {
    const checkpoint = openStored(folder);
    checkpoint.verify();
    return { ...name, problem: null, tensors: Object.keys(checkpoint.manifest.tensors) };
  } catch (error) {
    return existsSync(folder) ? { ...name, problem: (error as Error).message, tensors: [] } : null;
  }
}
