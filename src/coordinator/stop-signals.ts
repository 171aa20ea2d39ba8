import type { EventEmitter } from 'node:events';
import { TrainerError } from '../errors.js';
import { onSignals } from '../os/on-signals.js';
import type { RunLeader } from './run-leader.js';

/** Signals that this process has received. */
export interface HeardSignals {
  /** True once a signal has asked the process to end. */
  readonly any: boolean;
  /** Stops listening. */
  forget(): void;
}

/**
 * Handles SIGINT and SIGTERM: the first one asks for a final checkpoint and the end, the second for the end at once.
 * After the run has ended they change nothing, as its report follows within seconds.
 *
 * @param signals emits them: the process
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
