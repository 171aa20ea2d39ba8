import { processIdentity } from '@locmoe/run-format/process-identity';
import { npxOf } from '../os/command-line.js';
import { wasAskedToEnd } from '../os/on-signals.js';

const WATCH_MS = 500;

/**
 * Ends this command in order, as SIGTERM does, once the npx that started it has ended, as a signal to npx does not
 * reach the command under its shell. A command that has left npx's process group (setsid) continues, as does one that a
 * program under npx started.
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
