import { TrainerError } from '../../errors.js';
import { onSignals } from '../../os/on-signals.js';

/**
 * Does work that Ctrl-C ends where it looks at the signal, and nowhere else.
 *
 * @throws TrainerError `INTERRUPTED`, by `signal.throwIfAborted()`
 */
export async function untilSignal<Result>(work: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
  const ended = new AbortController();
  const off = onSignals((signal) =>
    ended.abort(new TrainerError('INTERRUPTED', `${signal}: ended before all questions were answered`)),
  );
  try {
    return await work(ended.signal);
  } finally {
    off();
  }
}
