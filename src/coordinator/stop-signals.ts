import type { EventEmitter } from 'node:events';
import { TrainerError } from '../errors.js';
import type { RunLeader } from './run-leader.js';

const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** The signals that a run has heard. */
export interface HeardSignals {
  /** Somebody wants the process to end. */
  readonly any: boolean;
  /** Stops listening. */
  forget(): void;
}

/**
 * First signal: a final checkpoint, then the end. Second: the end at once. After a failure that ends the run, whose
 * report comes within seconds, they change nothing.
 *
 * @param signals emits them: the process
 */
export function stopOnSignals(
  leader: Pick<RunLeader, 'abort' | 'requestStop' | 'hasFailed'>,
  print: (line: string) => void,
  signals: EventEmitter = process,
): HeardSignals {
  let first: NodeJS.Signals | null = null;
  let any = false;
  const onSignal = (signal: NodeJS.Signals) => {
    any = true;
    if (leader.hasFailed) return;
    if (first !== null) {
      const both = signal === first ? `${signal} twice` : `${first}, then ${signal}`;
      leader.abort(new TrainerError('ABORTED', `${both}: ended without a final checkpoint`));
      return;
    }
    first = signal;
    print(`${signal}: finishing this step and saving a checkpoint (once more to end at once)`);
    leader.requestStop(signal);
  };
  for (const signal of STOP_SIGNALS) signals.on(signal, onSignal);
  return {
    get any() {
      return any;
    },
    forget() {
      for (const signal of STOP_SIGNALS) signals.off(signal, onSignal);
    },
  };
}
