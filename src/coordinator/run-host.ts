import type { EventEmitter } from 'node:events';
import { asTrainerError, EXIT, TrainerError } from '../errors.js';
import type { Logger } from '../logger.js';
import { onSignals } from '../os/on-signals.js';
import type { RunLeader } from './run-leader.js';
import type { RunView } from './run-view.js';

export interface HostedRun {
  readonly leader: Pick<RunLeader, 'abort' | 'requestStop' | 'crash' | 'isOver'>;
  readonly logger: Pick<Logger, 'error'>;
  readonly view: Pick<RunView, 'print'>;
  /** Reports the failure of a run that can no longer be ended in order; returns the exit code. */
  readonly lastWords: (error: TrainerError) => number;
}

/** The process that leads a run: how it learns that the run is to stop, and what may end it. */
export interface RunHost {
  /** Passes requests to stop on to the run until `forget`, and everything else until `leave`. */
  watch(run: HostedRun): HeardSignals & { leave(): void };
  /** Called when another process leads the run and owns its files: nothing more may be written. */
  superseded(line: string): never;
}

/** A command owns its process: signals stop the run, and uncaught errors end it with a last checkpoint. */
export const COMMAND_HOST: RunHost = {
  watch({ lastWords, ...run }) {
    const signals = stopOnSignals(run.leader, (line) => run.view.print(line));
    const leave = catchUncaught({ ...run, lastWords: (error) => process.exit(lastWords(error)) });
    return Object.assign(signals, { leave });
  },
  superseded(line) {
    console.error(`locmoe: ${line}`);
    process.exit(EXIT.failedRun);
  },
};

/** Returns the host for a program that keeps its own signal handlers and exit code: only `signal` stops the run. */
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

interface HeardSignals {
  /** True once a signal has asked the process to end. */
  readonly any: boolean;
  forget(): void;
}

/**
 * Handles SIGINT and SIGTERM: the first signal asks for a final checkpoint before the end, the second for an immediate
 * end. After the run has ended, signals have no effect, as the report follows within seconds.
 *
 * @param signals emitter of the signals; the process by default
 */
export function stopOnSignals(
  leader: Pick<RunLeader, 'abort' | 'requestStop' | 'isOver'>,
  print: (line: string) => void,
  signals: EventEmitter = process,
): HeardSignals {
  let first: NodeJS.Signals | null = null;
  let any = false;
  const onSignal = (signal: NodeJS.Signals) => {
    any = true;
    if (leader.isOver) return;
    if (first !== null) {
      const both = signal === first ? `${signal} twice` : `${first}, then ${signal}`;
      leader.abort(new TrainerError('ABORTED', `${both}: ended without a final checkpoint`));
      return;
    }
    first = signal;
    print(`${signal}: finishing this step and saving a checkpoint (once more to end at once)`);
    leader.requestStop(signal);
  };
  const forget = onSignals(onSignal, signals);
  return {
    get any() {
      return any;
    },
    forget,
  };
}

/**
 * Makes uncaught errors and rejections end the run with a last checkpoint and a report, instead of ending the process at once.
 *
 * @param run `lastWords` is called when even ending the run has failed
 * @returns a function that restores the default
 */
export function catchUncaught(
  run: Pick<HostedRun, 'logger' | 'view'> & {
    readonly leader: Pick<RunLeader, 'crash'>;
    readonly lastWords: (error: TrainerError) => void;
  },
): () => void {
  process.setUncaughtExceptionCaptureCallback((thrown: unknown) => {
    const error = unforeseen(thrown);
    try {
      run.view.print(error.message);
      run.logger.error({ stack: thrown instanceof Error ? thrown.stack : undefined }, error.message);
      run.leader.crash(error);
    } catch {
      run.lastWords(error);
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
