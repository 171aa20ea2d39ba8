import { existsSync } from 'node:fs';
import path from 'node:path';
import { committedFolders } from '../checkpoint/index.js';
import type { RunListener } from './coordinator.js';
import type { RunFolder } from './run-folder.js';
import type { PlanSettings, RunPlan } from './run-plan.js';

/**
 * Says what of a run's history goes if it is resumed as planned. Steps that the same configuration does again come out the
 * same and are not worth a word.
 */
export function tellWhatGoes(
  { config, checkpoint, resumed }: Pick<RunPlan, 'config' | 'checkpoint' | 'resumed'>,
  { say, warn }: Pick<PlanSettings, 'say' | 'warn'>,
): void {
  if (checkpoint === null || resumed === null) return;
  const { folder } = resumed;
  const { step, config: before } = checkpoint.manifest;
  const changes = changedFields(before, config);
  if (changes.length > 0)
    say(`run ${folder.runId} goes on with another configuration: ${changes.join(', ')}`);
  const later = committedFolders(folder.checkpoints)
    .map((each) => path.basename(each))
    .filter((name) => Number(/\d+/.exec(name)) > step);
  if (later.length === 0 && changes.length === 0) return;
  const steps = formatSteps(folder.recordedStepsAfter(step));
  const losses = [
    ...(steps === null ? [] : [`the metrics of ${steps} when training begins`]),
    ...(later.length === 0 ? [] : [`${later.join(', ')} at the first checkpoint`]),
  ];
  if (losses.length === 0) return;
  const overwritten = ['config.json', 'summary.json'].filter((file) =>
    existsSync(path.join(folder.directory, file)),
  );
  warn(
    `run ${folder.runId} goes back to step ${step}; it loses ${losses.join(', ')}, and its ${overwritten.join(' and ')}; to keep all that, end this and start a new run with --fork`,
  );
}

function formatSteps(steps: ReturnType<RunFolder['recordedStepsAfter']>): string | null {
  if (steps === null) return null;
  const { first, last } = steps;
  return first === last ? `step ${first}` : `steps ${first} to ${last}`;
}

/** `field old -> new` for each field that differs. */
function changedFields(before: object, after: object, place = ''): string[] {
  const fields = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...fields].flatMap((field) => {
    const [old, now] = [before, after].map((each) => Object(each)[field]);
    if (isSection(old) && isSection(now)) return changedFields(old, now, `${place}${field}.`);
    const [oldText, nowText] = [old, now].map((value) => JSON.stringify(value));
    return oldText === nowText ? [] : [`${place}${field} ${oldText} -> ${nowText}`];
  });
}

function isSection(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Lets a resumed run take the place of what was there once all workers have loaded its checkpoint: a start that fails
 * changes nothing.
 */
export function takeBack(folder: RunFolder, { config, checkpoint }: RunPlan): RunListener {
  return {
    state({ kind }) {
      if (kind !== 'running') return;
      if (checkpoint !== null) folder.dropMetricsAfter(checkpoint.manifest.step);
      folder.archiveFailure();
      folder.writeConfig(config);
    },
  };
}
