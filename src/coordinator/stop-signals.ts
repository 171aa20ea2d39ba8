import type { EventEmitter } from 'node:events';
import { TrainerError } from '../errors.js';
import { onSignals } from '../os/on-signals.js';
import type { RunLeader } from './run-leader.js';

/** The signals that a run has heard. */
export interface HeardSignals {
  /** Somebody wants the process to end. */
  readonly any: boolean;
  /** Stops listening. */
  forget(): void;
}

/**
 * First signal: a final checkpoint, then the end. Second: the end at once. Once the run has ended, well or badly, they
 * change nothing: its report comes within seconds.
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
