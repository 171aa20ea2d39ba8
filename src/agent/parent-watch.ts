import { EXIT } from '../errors.js';

const PARENT_WATCH_MS = 500;

/**
 * Ends this process once `parent`, which started it, has ended; at once if it already has. The pid comes from the
 * parent itself: an orphan can no longer ask whose child it was. Returns how to stop.
 */
export function exitWithParent(parent: number): () => void {
  const check = () => {
    if (process.ppid !== parent) process.exit(EXIT.failedRun);
  };
  check();
  const timer = setInterval(check, PARENT_WATCH_MS);
  return () => clearInterval(timer);
}
