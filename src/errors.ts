import type { TrainerError } from '@locmoe/run-format/errors';

export {
  asTrainerError,
  ERROR_CODES,
  type ErrorCode,
  type ErrorContext,
  LEAST_OPEN_FILES,
  TrainerError,
} from '@locmoe/run-format/errors';

/** Process exit codes of the `locmoe` command. */
export const EXIT = {
  done: 0,
  unhealthy: 1,
  noMatch: 1,
  badConfig: 2,
  failedRun: 3,
  noCheckpoint: 4,
  interrupted: 130,
} as const;

/** Facts about a run that decide its exit code, besides its error. */
export interface RunEnd {
  /** True once a step was done. */
  readonly hasTrained?: boolean;
  /** True if the run was stopped before its end and may be resumed. */
  readonly isInterrupted?: boolean;
}

/**
 * Decides the exit code of a command.
 *
 * @param error the error that ended the command; null if it finished or was stopped
 * @param run facts about the run that the command led, if any
 */
export function exitCodeOf(error: TrainerError | null, run: RunEnd = {}): number {
  if (error === null) return run.isInterrupted === true ? EXIT.interrupted : EXIT.done;
  // The input of a run that has trained was valid, so any error but a bad checkpoint is a failure of the run.
  if (run.hasTrained === true && error.code !== 'BAD_CHECKPOINT') return EXIT.failedRun;
  switch (error.code) {
    case 'BAD_CONFIG':
    case 'BAD_INPUT':
    case 'NO_RESOURCE':
    case 'DISK_FULL':
    case 'UNAVAILABLE':
    case 'UNAUTHENTICATED':
    case 'RUN_FULL':
      return EXIT.badConfig;
    case 'BAD_CHECKPOINT':
      return EXIT.noCheckpoint;
    case 'INTERRUPTED':
      return EXIT.interrupted;
    default:
      return EXIT.failedRun;
  }
}
