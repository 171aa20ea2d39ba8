import { statSync } from 'node:fs';
import {
  type CheckpointReport,
  generationOf,
  type JournalMember,
  type MetricsRecordOf,
  type RunFolder,
  readJournal,
  recordsFromEnd,
  stepOf,
  type Validation,
} from '@locmoe/run-format';
import { committedFolders } from '../../checkpoint/folders.js';
import { type RunConfig, runSchema } from '../../config/schema.js';
import { changedFields } from './changed-fields.js';

/** State on disk of a generation whose coordinator is gone while its nodes may still train. */
export interface Adoption {
  readonly generation: number;
  readonly config: RunConfig;
  readonly datasetDir: string;
  readonly members: readonly JournalMember[];
  /** Last step recorded in the metrics. */
  readonly step: number;
  /** Last recorded validation, of `step` or earlier; null if there is none. */
  readonly validation: Validation | null;
  /** Newest checkpoint committed by this generation; null if there is none. */
  readonly committed: CheckpointReport | null;
  /** True if the metrics record that checkpoint; the journal, which is written after them, may still lack it. */
  readonly isCommitRecorded: boolean;
}

/**
 * Finds the generation of a run that another coordinator can adopt in place. Returns null if the run does not train, if
 * its nodes have given up by now, if another configuration is asked for, or if the generation could not be restarted
 * from disk should its nodes be gone.
 *
 * @param askedFrom returns the requested configuration, given the run's own
 */
export function adoptionOf(
  folder: RunFolder,
  askedFrom: (config: RunConfig) => RunConfig,
  nowMs = Date.now(),
): Adoption | null {
  const entries = readJournal(folder.journal);
  const start = entries.findLast((entry) => entry.type === 'generation');
  const config = folder.readConfig(runSchema);
  const record = folder.readRecord();
  if (start === undefined || config === null || record === null) return null;
  const since = entries.slice(entries.indexOf(start));
  const members = since.findLast((entry) => entry.type === 'members')?.members;
  const trains =
    since.some(({ type }) => type === 'running') &&
    !since.some(({ type }) => type === 'failure' || type === 'end');
  if (members === undefined || !trains || !isRecent(folder, config, nowMs)) return null;
  if (start.nodes !== config.cluster.nodes || changedFields(config, askedFrom(config)).length > 0)
    return null;
  const hasCheckpoint = committedFolders(folder.checkpoints).length > 0;
  if (!hasCheckpoint && (record.initFrom !== null || record.forkedFrom !== null)) return null;
  const { generation } = start;
  const { datasetDir } = record;
  return { generation, config, datasetDir, members, ...progressOf(folder, generation, start.from.step) };
}

/** Tells whether nodes may still wait, as a run that trains records heartbeats every two seconds. */
function isRecent({ metrics }: RunFolder, { cluster }: RunConfig, nowMs: number): boolean {
  const writtenMs = statSync(metrics, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  return nowMs - writtenMs < 1000 * cluster.coordinatorTimeoutS;
}

function progressOf(
  folder: RunFolder,
  generation: number,
  from: number,
): Pick<Adoption, 'step' | 'validation' | 'committed' | 'isCommitRecorded'> {
  const directory = committedFolders(folder.checkpoints).find((each) => generationOf(each) === generation);
  const committed = directory === undefined ? null : { step: stepOf(directory), directory };
  const found = lastOf(folder.metrics, committed);
  const step = Math.max(from, found.step);
  // A validation that preceded the last report of its step is truncated with everything after `step`, and is reported again.
  const validation = found.validations.find((each) => each.step <= step);
  return {
    step,
    validation: validation === undefined ? null : { step: validation.step, domains: validation.domains },
    committed,
    isCommitRecorded: found.isCommitRecorded,
  };
}

/**
 * Reads the metrics from their end: the last step, the validations back to the last one of that step or earlier, and
 * whether the checkpoint is recorded.
 */
function lastOf(metrics: string, committed: Adoption['committed']) {
  let step: number | null = null;
  let isCommitRecorded = false;
  const validations: MetricsRecordOf<'validation'>[] = [];
  for (const { record } of recordsFromEnd(metrics)) {
    if (record.type === 'step') step ??= record.step;
    else if (record.type === 'validation') validations.push(record);
    else if (record.type === 'checkpoint') isCommitRecorded ||= record.directory === committed?.directory;
    const last = validations.at(-1);
    const isValidated = step !== null && last !== undefined && last.step <= step;
    // A checkpoint is recorded after its step, so older records cannot hold it.
    const isBeforeCommit =
      committed === null || isCommitRecorded || (record.type === 'step' && record.step < committed.step);
    if (isValidated && isBeforeCommit) break;
  }
  return { step: step ?? 0, validations, isCommitRecorded };
}
