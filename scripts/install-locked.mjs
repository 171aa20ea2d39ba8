import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { runNpm } from './run-npm.mjs';

const TIMEOUT_MS = 600_000;

/**
 * Installs node_modules from package-lock.json, without install scripts; a no-op if it is up to date.
 * @param {string} folder
 * @param {string} name what is installed, for messages
 * @param {(line: string) => void} log
 * @param {AbortSignal} [signal] ends npm
 * @throws {Error} with one line of advice if npm fails
 */
export async function installLocked(folder, name, log, signal) {
  const stamp = path.join(folder, 'node_modules/.locmoe-lock-sha256');
  const lock = createHash('sha256')
    .update(readFileSync(path.join(folder, 'package-lock.json')))
    .digest('hex');
  if (readStamp(stamp) === lock) return log('already installed');
  log(`installing ${name} from the npm registry`);
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const why = await runNpm(args, { cwd: folder, timeoutMs: TIMEOUT_MS, signal }, log);
  if (why !== null)
    throw new Error(`npm ci in ${folder} failed (${why}); check the npm registry and run the set-up again`);
  writeFileSync(stamp, lock);
  log('installed');
}

function readStamp(stamp) {
  try {
    return readFileSync(stamp, 'utf8');
  } catch {
    return undefined;
  }
}
