import type { EventEmitter } from 'node:events';
import { TrainerError } from '../errors.js';
import type { RunLeader } from './run-leader.js';

const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * First signal: a final checkpoint, then the end. Second: the end at once. After a failure that ends the run, whose
 * report comes within seconds, they are ignored.
 *
 * @param signals emits them: the process
 * @returns stops listening
 */
export function stopOnSignals(
  leader: Pick<RunLeader, 'abort' | 'requestStop' | 'hasFailed'>,
  print: (line: string) => void,
  signals: EventEmitter = process,
): () => void {
  let first: NodeJS.Signals | null = null;
  const onSignal = (signal: NodeJS.Signals) => {
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
  return () => {
    for (const signal of STOP_SIGNALS) signals.off(signal, onSignal);
  };
}
