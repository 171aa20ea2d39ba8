import type { RunListener } from './coordinator.js';

/** One listener that tells several, in this order. */
export function tellAll(listeners: readonly RunListener[]): RunListener {
  return {
    membership: (text) => each((listener) => listener.membership?.(text)),
    state: (state) => each((listener) => listener.state?.(state)),
    rankStep: (report) => each((listener) => listener.rankStep?.(report)),
    step: (step) => each((listener) => listener.step?.(step)),
    validation: (report) => each((listener) => listener.validation?.(report)),
    checkpoint: (report) => each((listener) => listener.checkpoint?.(report)),
    heartbeat: (node, heartbeat) => each((listener) => listener.heartbeat?.(node, heartbeat)),
    logLines: (node, counts) => each((listener) => listener.logLines?.(node, counts)),
  };

  function each(tell: (listener: RunListener) => void): void {
    for (const listener of listeners) tell(listener);
  }
}
