import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const TIMEOUT_MS = 600_000;

/**
 * Installs node_modules from package-lock.json, without install scripts; a no-op if it is up to date.
 * @param {string} folder
 * @param {string} name what is installed, for messages
 * @param {(line: string) => void} log
 * @throws {Error} with one line of advice if npm fails
 */
export function installLocked(folder, name, log) {
  const stamp = path.join(folder, 'node_modules/.locmoe-lock-sha256');
  const lock = createHash('sha256')
    .update(readFileSync(path.join(folder, 'package-lock.json')))
    .digest('hex');
  if (readStamp(stamp) === lock) return log('already installed');
  log(`installing ${name} from the npm registry`);
  const npm = spawnSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: folder,
    encoding: 'utf8',
    timeout: TIMEOUT_MS,
  });
  if (npm.status !== 0) {
    const reason = npm.error?.message ?? (npm.stderr.trim().split('\n')[0] || `exit code ${npm.status}`);
    throw new Error(
      `npm ci in ${folder} failed (${reason}); check the npm registry and run the set-up again`,
    );
  }
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
