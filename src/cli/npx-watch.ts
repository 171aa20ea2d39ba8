import { processIdentity } from '@locmoe/run-format/process-identity';
import { npxOf } from '../os/command-line.js';
import { wasAskedToEnd } from '../os/on-signals.js';

const WATCH_MS = 500;

/**
 * Ends this command in order, as SIGTERM does, once the npx that started it has ended, since npx does not
 * pass its signals on to the command under its shell. A command that has left npx's process group (setsid)
 * continues, and so does one that was started by another program under npx.
 */
export function endWithNpx(env: NodeJS.ProcessEnv = process.env): void {
  if (env.npm_command !== 'exec') return;
  const npx = npxOf(process.pid);
  if (npx === null) return;
  const identity = processIdentity(npx);
  const timer = setInterval(() => {
    if (processIdentity(npx) === identity) return;
    clearInterval(timer);
    if (!wasAskedToEnd()) process.kill(process.pid, 'SIGTERM');
  }, WATCH_MS);
  timer.unref();
}
