import type { EventEmitter } from 'node:events';
import { TrainerError } from '../errors.js';
import type { Coordinator } from './coordinator.js';

const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * First signal: a final checkpoint, then the end. Second: the end at once. After a finished run signals have
 * their default effect; after a failure, whose report comes within seconds, they are ignored.
 *
 * @param signals emits them: the process
 * @returns stops listening
 */
export function stopOnSignals(
  coordinator: Pick<Coordinator, 'abort' | 'requestStop' | 'failure' | 'settled'>,
  print: (line: string) => void,
  signals: EventEmitter = process,
): () => void {
  let first: NodeJS.Signals | null = null;
  const onSignal = (signal: NodeJS.Signals) => {
    if (coordinator.failure !== null) return;
    if (first !== null) {
      const both = signal === first ? `${signal} twice` : `${first}, then ${signal}`;
      coordinator.abort(new TrainerError('ABORTED', `${both}: ended without a final checkpoint`));
      return;
    }
    first = signal;
    print(`${signal}: finishing this step and saving a checkpoint (once more to end at once)`);
    coordinator.requestStop(signal);
  };
  for (const signal of STOP_SIGNALS) signals.on(signal, onSignal);
  const forget = () => {
    for (const signal of STOP_SIGNALS) signals.off(signal, onSignal);
  };
  void coordinator.settled.then(({ kind }) => {
    if (kind === 'finished') forget();
  });
  return forget;
}
