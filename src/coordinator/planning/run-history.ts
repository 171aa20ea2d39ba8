import { existsSync } from 'node:fs';
import path from 'node:path';
import { dropRecordsAfter, type RunFolder, recordedStepsAfter } from '@locmoe/run-format';
import { committedFolders } from '../../checkpoint/folders.js';
import { runSchema } from '../../config/schema.js';
import { type Dataset, type DatasetIndex, readIndex, tokenFile } from '../../data/dataset.js';
import type { RunListener } from '../../run/run-listener.js';
import { changedFields } from './changed-fields.js';
import type { PlanSettings, RunPlan } from './run-options.js';

/**
 * Warns of what a run loses if it is resumed as planned, and reports a changed configuration or text. Steps that are
 * repeated with the same configuration give the same result, so they are not mentioned.
 */
export function warnOfLosses(
  { config, dataset, checkpoint, resumed }: Pick<RunPlan, 'config' | 'dataset' | 'checkpoint' | 'resumed'>,
  { say, warn }: Pick<PlanSettings, 'say' | 'warn'>,
): void {
  if (checkpoint === null || resumed === null) return;
  const { folder } = resumed;
  const { step, config: before } = checkpoint.manifest;
  const changes = changedFields(before, config);
  if (changes.length > 0)
    say(`run ${folder.runId} goes on with another configuration: ${changes.join(', ')}`);
  const texts = changedTexts(folder, dataset);
  if (texts.length > 0)
    warn(
      `run ${folder.runId} has trained on other text of ${texts.join(', ')}; it goes on with what is there now`,
    );
  // A generation killed before its first checkpoint left its --set values only in config.json.
  const last = changedFields(folder.readConfig(runSchema) ?? before, config);
  if (last.length > 0 && String(last) !== String(changes))
    say(
      `run ${folder.runId} last trained with ${last.join(', ')}, which its checkpoint does not have: give it again to keep it`,
    );
  const later = committedFolders(folder.checkpoints)
    .map((each) => path.basename(each))
    .filter((name) => Number(/\d+/.exec(name)) > step);
  if (later.length + changes.length + last.length === 0) return;
  const steps = formatSteps(recordedStepsAfter(folder.metrics, step));
  const losses = [
    ...(steps === null ? [] : [`the metrics of ${steps} when training begins`]),
    ...(later.length === 0 ? [] : [`${later.join(', ')} at the first checkpoint`]),
  ];
  if (losses.length === 0) return;
  const overwritten = ['config.json', 'summary.json'].filter((file) =>
    existsSync(path.join(folder.directory, file)),
  );
  if (overwritten.length > 0) losses.push(`and its ${overwritten.join(' and ')}`);
  warn(
    `run ${folder.runId} goes back to step ${step}; it loses ${losses.join(', ')}; to keep all that, end this and start a new run with --fork`,
  );
}

/** Finds the domains whose training text differs from the last generation's, if that text is still on disk. */
function changedTexts(folder: RunFolder, dataset: Dataset): string[] {
  const record = folder.readRecord();
  if (record === null || record.datasetDir === dataset.dir) return [];
  const now = readIndex(dataset.dir).files;
  let before: DatasetIndex['files'];
  try {
    before = readIndex(record.datasetDir).files;
  } catch {
    // The dataset folder is a cache, which may have been cleared.
    return [];
  }
  const texts = dataset.domains.map(({ name }) => ({ name, file: tokenFile(name, 'train') }));
  return texts
    .filter(({ file }) => before[file] !== undefined && before[file].sha256 !== now[file]?.sha256)
    .map(({ name }) => name);
}

function formatSteps(steps: ReturnType<typeof recordedStepsAfter>): string | null {
  if (steps === null) return null;
  const { first, last } = steps;
  return first === last ? `step ${first}` : `steps ${first} to ${last}`;
}

/**
 * Truncates a run's history to the state that a generation starts from, once all workers have loaded it: a start that
 * fails changes nothing but the generation's number.
 */
export function truncateHistory(folder: RunFolder, { config, checkpoint, adopts }: RunPlan): RunListener {
  let from = adopts === null ? (checkpoint?.manifest.step ?? null) : adopts.step;
  return {
    generation({ resumedFrom }) {
      from = resumedFrom ?? 0;
    },
    state({ kind }) {
      if (kind !== 'running') return;
      if (from !== null) dropRecordsAfter(folder.metrics, from);
      folder.archiveFailure();
      folder.writeConfig(config);
    },
  };
}
