import { EXIT, TrainerError } from '../errors.js';
import type { Logger } from '../logger.js';
import type { RunLeader } from './run-leader.js';
import type { RunView } from './run-view.js';
import { type HeardSignals, stopOnSignals } from './stop-signals.js';
import { catchUncaught } from './uncaught.js';

export interface HostedRun {
  readonly leader: RunLeader;
  readonly logger: Logger;
  readonly view: RunView;
  /** Reports the failure of a run that can no longer be ended in order; returns the exit code for it. */
  readonly lastWords: (error: TrainerError) => number;
}

/** The process that leads a run: how it learns that the run is to stop, and what may end it. */
export interface RunHost {
  /** Passes requests to stop on to the run until `forget`, and everything else until `leave`. */
  watch(run: HostedRun): HeardSignals & { leave(): void };
  /** Another process leads the run now and owns its files: nothing more may be written. */
  superseded(line: string): never;
}

/** A command owns its process: signals stop the run, and uncaught errors end it with a last checkpoint. */
export const COMMAND_HOST: RunHost = {
  watch({ leader, logger, view, lastWords }) {
    const signals = stopOnSignals(leader, (line) => view.print(line));
    const leave = catchUncaught({
      leader,
      logger,
      view,
      lastWords: (error) => process.exit(lastWords(error)),
    });
    return Object.assign(signals, { leave });
  },
  superseded(line) {
    console.error(`locmoe: ${line}`);
    process.exit(EXIT.failedRun);
  },
};

/** A program that trains keeps its own signal handlers and its exit code: only `signal` stops the run. */
export function hostedBy(signal: AbortSignal | undefined): RunHost {
  return {
    watch({ leader }) {
      const stop = () => leader.requestStop(reasonOf(signal));
      if (signal?.aborted === true) stop();
      else signal?.addEventListener('abort', stop, { once: true });
      const forget = () => signal?.removeEventListener('abort', stop);
      return { any: false, forget, leave: forget };
    },
    superseded(line) {
      throw new TrainerError('SUPERSEDED', line);
    },
  };
}

function reasonOf(signal: AbortSignal | undefined): string {
  return signal?.reason instanceof Error ? signal.reason.message : String(signal?.reason);
}
