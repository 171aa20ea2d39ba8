import { readFileSync } from 'node:fs';
import { processIdentity } from '@locmoe/run-format/process-identity';
import { wasAskedToEnd } from '../os/on-signals.js';
import { familyOf } from '../os/process-info.js';

const WATCH_MS = 500;
const SHELLS = ['sh', 'dash', 'bash', 'busybox'];

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

/**
 * Finds the npx that started a process, directly or through its shell; null if there is none in the same process group.
 */
function npxOf(pid: number): number | null {
  const { group, parent } = familyOf(pid);
  const starter = SHELLS.includes(nameOf(parent)) ? familyOf(parent).parent : parent;
  return nameOf(starter).startsWith('npm exec') && familyOf(starter).group === group ? starter : null;
}

function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return '';
  }
}
