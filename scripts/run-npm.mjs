import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { withProgress } from './progress.mjs';

/**
 * Runs npm; logs how much it has read, from the network or from its cache, and written, to its cache and unpacked.
 * @param {readonly string[]} args
 * @param {{ cwd: string, timeoutMs: number, megabytes?: number, signal?: AbortSignal }} options `megabytes`:
 *   the amount that npm will read, if it is known
 * @param {(line: string) => void} log
 * @returns {Promise<string | null>} the reason why npm failed, in one line; null if it succeeded
 */
export async function runNpm(args, { cwd, timeoutMs, megabytes, signal }, log) {
  const npm = spawn('npm', args, { cwd, stdio: ['ignore', 'ignore', 'pipe'], timeout: timeoutMs, signal });
  let stderr = '';
  npm.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const ended = new Promise((resolve) => {
    npm.on('error', (error) => resolve(error.message));
    npm.on('close', (code, killer) => resolve(code === 0 ? null : (killer ?? `exit code ${code}`)));
  });
  const describe = () => {
    const [read, written] = ioOf(npm.pid).map((bytes) => bytes / 1e6);
    const of = megabytes === undefined ? '' : ` of ${megabytes}`;
    return `about ${Math.min(read, megabytes ?? read).toFixed(0)}${of} MB read, ${written.toFixed(0)} MB written`;
  };
  const why = await withProgress(log, describe, () => ended);
  return why === null ? null : stderr.trim().split('\n')[0] || why;
}

/** Returns how many bytes a process has read and written. */
function ioOf(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/io`, 'utf8');
    return ['rchar', 'wchar'].map((name) => Number(new RegExp(`${name}: (\\d+)`).exec(text)?.[1]));
  } catch {
    return [0, 0];
  }
}
