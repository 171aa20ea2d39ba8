/** Ctrl-C, the wish of another process, and the terminal's end. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Calls `listener` at every signal that asks a command to end. @returns what stops that */
export function onSignals(listener: (signal: NodeJS.Signals) => void): () => void {
  for (const signal of SIGNALS) process.on(signal, listener);
  return () => {
    for (const signal of SIGNALS) process.off(signal, listener);
  };
}

/** Resolves at the first of these signals; the next has its default effect. */
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
