import { asTrainerError, TrainerError } from '../errors.js';
import type { Logger } from '../logger.js';
import type { RunLeader } from './run-leader.js';
import type { RunView } from './run-view.js';

export interface UncaughtOptions {
  readonly leader: Pick<RunLeader, 'crash'>;
  readonly logger: Pick<Logger, 'error'>;
  readonly view: Pick<RunView, 'print'>;
  /** Ends the process when even ending the run has failed. */
  readonly lastWords: (error: TrainerError) => void;
}

/**
 * Makes uncaught errors and rejections end the run with a last checkpoint and a report, instead of ending the process
 * at once.
 *
 * @returns a function that restores the default
 */
export function catchUncaught({ leader, logger, view, lastWords }: UncaughtOptions): () => void {
  process.setUncaughtExceptionCaptureCallback((thrown: unknown) => {
    const error = unforeseen(thrown);
    try {
      view.print(error.message);
      logger.error({ stack: thrown instanceof Error ? thrown.stack : undefined }, error.message);
      leader.crash(error);
    } catch {
      lastWords(error);
    }
  });
  return () => process.setUncaughtExceptionCaptureCallback(null);
}

function unforeseen(thrown: unknown): TrainerError {
  const { message } = asTrainerError(thrown);
  const place = thrown instanceof Error ? /\n\s+at (.*)/.exec(thrown.stack ?? '')?.[1] : undefined;
  return new TrainerError(
    'INTERNAL',
    `unexpected error in the coordinator: ${message}${place === undefined ? '' : ` (at ${place})`}`,
    {},
    { cause: thrown },
  );
}
