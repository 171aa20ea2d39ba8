import { EXIT } from '../errors.js';

const PARENT_WATCH_MS = 500;

/**
 * Exits this process once its parent has ended; at once if it already has. The parent passes its own pid,
 * because an orphan can no longer ask for it.
 *
 * @returns stops the watch
 */
export function exitWithParent(parent: number): () => void {
  const check = () => {
    if (process.ppid !== parent) process.exit(EXIT.failedRun);
  };
  check();
  const timer = setInterval(check, PARENT_WATCH_MS);
  return () => clearInterval(timer);
}
