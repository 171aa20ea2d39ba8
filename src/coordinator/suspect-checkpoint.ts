import { existsSync } from 'node:fs';
import path from 'node:path';
import { type Checkpoint, MANIFEST_FILE, resolveCheckpoint, stepOf } from '../checkpoint/index.js';
import { TrainerError } from '../errors.js';
import type { FailureReport } from './failure-report.js';
import type { RunFolder } from './run-folder.js';

/**
 * Whether a failure would come again from a checkpoint: no update is done where the gradient is not finite, so if that
 * was the very next step, it depends on the checkpoint's weights alone, at any learning rate.
 */
export function leadsToFailure(
  checkpoint: string,
  { code, step }: Pick<FailureReport, 'code' | 'step'>,
): boolean {
  return code === 'NOT_FINITE' && step === stepOf(checkpoint) + 1;
}

/**
 * The checkpoint from which a run goes on: as `resolveCheckpoint`, but where no step folder is named, one that would lead to
 * the failure of the last generation is passed over.
 *
 * @throws TrainerError `BAD_CHECKPOINT` if there is no other, or the last two generations failed at the same step because
 *   it was not finite
 */
export function checkpointToResume(
  folder: RunFolder,
  place: string,
  warn: (message: string) => void,
): Checkpoint {
  const last = folder.lastFailure();
  if (last?.code !== 'NOT_FINITE' || last.step === null) return resolveCheckpoint(place, warn);
  const before = folder.archivedFailure(last.generation - 1);
  const isNamed = existsSync(path.join(place, MANIFEST_FILE));
  if (!isNamed && before?.code === last.code && before.step === last.step)
    throw new TrainerError(
      'BAD_CHECKPOINT',
      `run ${folder.runId}: generations ${before.generation} and ${last.generation} both failed because step ${last.step} was not finite, and so would the next; go on from an earlier checkpoint with other settings: --resume ${folder.checkpoints}/step-... --set train.learningRate=...`,
    );
  return resolveCheckpoint(place, warn, (checkpoint) =>
    leadsToFailure(checkpoint, last)
      ? `checkpoint ${checkpoint}: from it step ${last.step} was not finite and would be again, at any learning rate (to use it all the same, name its folder)`
      : null,
  );
}
