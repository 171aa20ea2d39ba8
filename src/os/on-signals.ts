import type { EventEmitter } from 'node:events';
import { EXIT, TrainerError } from '../errors.js';

/** Signals of Ctrl-C, of other processes, and of a terminal that closes. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

let wasAsked = false;

/**
 * Calls `listener` at every signal that asks a command to end.
 *
 * @param signals the emitter of the signals
 * @returns a function that removes the listener
 */
export function onSignals(
  listener: (signal: NodeJS.Signals) => void,
  signals: EventEmitter = process,
): () => void {
  const hear = (signal: NodeJS.Signals) => {
    wasAsked = true;
    listener(signal);
  };
  for (const signal of SIGNALS) signals.on(signal, hear);
  return () => {
    for (const signal of SIGNALS) signals.off(signal, hear);
  };
}

/** Tells whether a signal has asked this command to end; a second one may end it at once. */
export function wasAskedToEnd(): boolean {
  return wasAsked;
}

/** Makes a signal that nothing else listens for end this process at once, with one line. */
export function endAtSignals(): void {
  // While Node frees its environment it no longer hears signals, and one would kill a command that is done.
  process.once('beforeExit', () => process.exit());
  onSignals((signal) => {
    if (process.listenerCount(signal) > 1) return;
    console.error(`locmoe: ${signal}: ended`);
    process.exit(EXIT.interrupted);
  });
}

/**
 * Runs an action that has to clean up before a signal may end the process: a signal aborts the action's
 * AbortSignal, after which the action is expected to return or throw soon.
 *
 * @param end completes the message about the interrupted action: "ended while the data were prepared"
 * @throws TrainerError `INTERRUPTED` if a signal came, whatever `act` made of it; what `act` throws
 */
export async function interruptible<T>(end: string, act: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const interruption = new AbortController();
  const off = onSignals((signal) => interruption.abort(new TrainerError('INTERRUPTED', `${signal}: ${end}`)));
  try {
    const result = await act(interruption.signal);
    interruption.signal.throwIfAborted();
    return result;
  } catch (error) {
    throw interruption.signal.aborted ? interruption.signal.reason : error;
  } finally {
    off();
  }
}

/** Runs an action that may block the event loop: a signal meanwhile ends the process, as without a listener. */
export function endable<T>(act: () => T): T {
  const heard = SIGNALS.map((signal) => [signal, process.rawListeners(signal)] as const);
  for (const [signal] of heard) process.removeAllListeners(signal);
  try {
    return act();
  } finally {
    for (const [signal, listeners] of heard)
      for (const listener of listeners) process.on(signal, listener as NodeJS.SignalsListener);
  }
}

/** Resolves at the first of these signals; the next signal has its default effect. */
export function nextSignal(): Promise<void> {
  return new Promise((resolve) => {
    const off = onSignals(() => {
      off();
      resolve();
    });
  });
}

/** Replaces Node's own answer to SIGUSR1, which is to listen for a debugger: whoever reaches that port runs code here. */
export function keepInspectorShut(): void {
  process.on('SIGUSR1', () => undefined);
}
