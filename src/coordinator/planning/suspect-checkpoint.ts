import { existsSync } from 'node:fs';
import path from 'node:path';
import { generationOf, MANIFEST_FILE, type PastFailure, type RunFolder, stepOf } from '@locmoe/run-format';
import { type Checkpoint, resolveCheckpoint } from '../../checkpoint/checkpoint.js';
import { SAVE_OPERATION } from '../../checkpoint/fence.js';
import { type RunConfig, runSchema } from '../../config/schema.js';
import { TrainerError } from '../../errors.js';
import { MAX_SKIPPED_STEPS, VALIDATION_OPERATION } from '../../run/not-finite.js';
import { changedFields } from './changed-fields.js';

/**
 * Tells whether a failure would repeat from a checkpoint. Non-finite steps are skipped, and several in a row fail a generation:
 * if no other step lies between the checkpoint and the failure, the checkpoint's weights alone caused it, at any learning rate. A
 * save or a validation that finds non-finite values follows an update, so it does not implicate the weights before the update.
 */
export function leadsToFailure(
  checkpoint: string,
  { code, step, operation }: Omit<PastFailure, 'generation'>,
): boolean {
  if (code !== 'NOT_FINITE' || step === null) return false;
  if (operation === SAVE_OPERATION || operation === VALIDATION_OPERATION) return false;
  const between = step - stepOf(checkpoint);
  return between > 0 && between <= MAX_SKIPPED_STEPS;
}

/** Returns the failure since a checkpoint was saved that makes it suspect; undefined if there is none. */
export function failureAfter(checkpoint: string, failures: readonly PastFailure[]): PastFailure | undefined {
  const writer = generationOf(checkpoint) ?? 0;
  return failures.find((each) => each.generation >= writer && leadsToFailure(checkpoint, each));
}

/** Returns a `--set` assignment with which a non-finite step may become finite. */
export function lowerRate({ train }: RunConfig): string {
  return `train.learningRate=${train.learningRate / 2}`;
}

/**
 * Resolves the checkpoint to resume from with `resolveCheckpoint`, but skips a suspect one unless a step folder is named.
 *
 * @param configFrom returns the requested configuration, given the checkpoint to resume
 * @throws TrainerError `BAD_CHECKPOINT` if there is no other checkpoint, or the same step was not finite in
 *   two generations that came from it, and neither asked for another configuration
 */
export function checkpointToResume(
  folder: RunFolder,
  place: string,
  warn: (message: string) => void,
  configFrom: (checkpoint: Checkpoint) => RunConfig,
): Checkpoint {
  if (existsSync(path.join(place, MANIFEST_FILE))) return resolveCheckpoint(place, warn);
  const failures = folder.failures();
  const checkpoint = resolveCheckpoint(place, warn, (candidate) => whySuspect(candidate, failures));
  assertMayEndOtherwise(folder, failures, checkpoint, configFrom);
  return checkpoint;
}

/** Returns the reason to skip a checkpoint whose later steps failed; null for a good one. */
export function whySuspect(checkpoint: string, failures: readonly PastFailure[]): string | null {
  const failure = failureAfter(checkpoint, failures);
  return failure === undefined
    ? null
    : `checkpoint ${checkpoint} is skipped: step ${failure.step} from its weights was NaN or infinite and would be again at any learning rate (name its folder to use it anyway)`;
}

/** Refuses a third try: runs are deterministic, so after two failures at one step only other settings can help. */
function assertMayEndOtherwise(
  folder: RunFolder,
  failures: readonly PastFailure[],
  checkpoint: Checkpoint,
  configFrom: (checkpoint: Checkpoint) => RunConfig,
): void {
  const { step, generation, config: saved } = checkpoint.manifest;
  const since = failures.filter(
    (each) => each.code === 'NOT_FINITE' && each.generation >= generation && (each.step ?? 0) > step,
  );
  const last = since.find((one, i) => since.findIndex((each) => each.step === one.step) < i);
  if (last === undefined) return;
  const config = configFrom(checkpoint);
  const tried = [saved, folder.readConfig(runSchema) ?? saved];
  if (tried.every((each) => changedFields(each, config).length > 0)) return;
  const generations = since.filter((each) => each.step === last.step).map((each) => each.generation);
  throw new TrainerError(
    'BAD_CHECKPOINT',
    `run ${folder.runId}: generations ${generations.reverse().join(' and ')} failed because step ${last.step} was not finite, and so would the next with the same configuration; go on with another: --resume ${folder.directory} --set ${lowerRate(config)}`,
  );
}
