import type { MetricsRecordOf, PastFailure, RunFolder, RunRecord } from '@locmoe/run-format';
import type { RunConfig } from '../config/schema.js';

/** A run on disk. Each call reads the files again, so that a run that still trains may return more at the next call. */
export interface Run {
  readonly runId: string;
  readonly directory: string;
  /** State, address, process and versions of the run (`run.json`), as read by `openRun`. */
  readonly record: RunRecord;
  /** Returns the configuration of the last training; null if none can be read. */
  config(): RunConfig | null;
  /** Returns the step folders of the checkpoints, newest first. */
  checkpoints(): string[];
  /** Returns the steps, each for all ranks together, oldest first. */
  steps(): MetricsRecordOf<'step'>[];
  /** Returns the validations, oldest first: losses in nats per token, by domain. */
  validations(): MetricsRecordOf<'validation'>[];
  /** Returns the failures of the generations, newest first. */
  failures(): PastFailure[];
}

/**
 * Opens a run to read it; nothing is locked or changed.
 *
 * @param folder a run's folder, or its id in `runsDir`; the newest run if undefined
 * @throws TrainerError `BAD_INPUT` if there is none
 * @example
 * ```js
 * const run = await openRun();
 * console.log(run.runId, run.steps().at(-1)?.loss);
 * ```
 */
export async function openRun(folder?: string, runsDir = 'runs'): Promise<Run> {
  const { findRun } = await import('@locmoe/run-format');
  return runOf(findRun(runsDir, folder));
}

/**
 * Lists the runs in a folder, the most recently started or resumed first; none if there is no such folder.
 *
 * @throws TrainerError `NO_RESOURCE` if the folder cannot be read
 * @example
 * ```js
 * for (const { runId, record } of await listRuns()) console.log(runId, record.state);
 * ```
 */
export async function listRuns(runsDir = 'runs'): Promise<Run[]> {
  const folders = await import('@locmoe/run-format');
  return Promise.all(folders.listRuns(runsDir).map(runOf));
}

async function runOf(found: { readonly folder: RunFolder; readonly record: RunRecord }): Promise<Run> {
  const { folder, record } = found;
  const { readRecords } = await import('@locmoe/run-format');
  const { runSchema } = await import('../config/schema.js');
  const { committedFolders } = await import('../checkpoint/folders.js');
  const recordsOf = <Type extends 'step' | 'validation'>(type: Type) =>
    readRecords(folder.metrics).filter((each): each is MetricsRecordOf<Type> => each.type === type);
  return {
    runId: folder.runId,
    directory: folder.directory,
    record,
    config: () => folder.readConfig(runSchema),
    checkpoints: () => committedFolders(folder.checkpoints),
    steps: () => recordsOf('step'),
    validations: () => recordsOf('validation'),
    failures: () => folder.failures(),
  };
}
