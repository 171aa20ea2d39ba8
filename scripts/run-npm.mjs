import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

const PROGRESS_MS = 5_000;

/**
 * Runs npm; logs every five seconds how much it has read, from the network or from its cache.
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
  let before = '';
  const describe = () => {
    const read = bytesRead(npm.pid) / 1e6;
    const now =
      megabytes === undefined
        ? `about ${read.toFixed(0)} MB read`
        : `about ${Math.min(read, megabytes).toFixed(0)} of ${megabytes} MB`;
    // npm fetches everything before it unpacks.
    const isStill = now === before;
    before = now;
    return isStill ? `${now}, unpacking or waiting for the registry` : now;
  };
  const why = await withProgress(log, describe, () => ended);
  return why === null ? null : stderr.trim().split('\n')[0] || why;
}

/**
 * Logs the progress of an action every five seconds.
 * @template T
 * @param {(line: string) => void} log
 * @param {() => string} describe
 * @param {() => Promise<T>} action
 * @returns {Promise<T>}
 */
export async function withProgress(log, describe, action) {
  const started = performance.now();
  const timer = setInterval(
    () => log(`${describe()}, ${((performance.now() - started) / 1000).toFixed(0)} s`),
    PROGRESS_MS,
  );
  try {
    return await action();
  } finally {
    clearInterval(timer);
  }
}

function bytesRead(pid) {
  try {
    return Number(/rchar: (\d+)/.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}
