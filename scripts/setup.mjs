// Installs everything the project needs: npm packages, TensorFlow's native library, the corpus packages.
// Plain JavaScript without dependencies, since it runs before any are installed; quick when all is there.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const STAMP = path.join(ROOT, 'node_modules/.locmoe-lock-hash');

/** Installs the packages of package-lock.json, unless they are those of the last time. */
function installPackages(log) {
  const hash = createHash('sha256')
    .update(readFileSync(path.join(ROOT, 'package-lock.json')))
    .digest('hex');
  if (existsSync(STAMP) && readFileSync(STAMP, 'utf8') === hash) return log('packages: already installed');
  log('packages: npm ci');
  const npm = spawnSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
    cwd: ROOT,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  if (npm.status !== 0) throw new Error('packages: npm ci failed; is the npm registry reachable?');
  writeFileSync(STAMP, hash);
}

/** Runs one named phase and says how long it took. */
export async function phase(name, run) {
  const started = performance.now();
  await run((line) => console.log(`[${name}] ${line}`));
  console.log(`[${name}] ${((performance.now() - started) / 1000).toFixed(1)} s`);
}

export async function setup() {
  const major = Number(process.versions.node.split('.')[0]);
  if (major !== 20 && major !== 22)
    throw new Error(`Node ${process.versions.node} is not supported: TensorFlow's addon needs Node 20 or 22`);
  await phase('packages', installPackages);
  await phase('tensorflow', async (log) => (await import('./tensorflow.mjs')).setupTensorFlow(log));
  await phase('corpus', async (log) => (await import('./corpus.mjs')).setupCorpus(log));
}

/** Runs `main` and ends the process with one line and code 2 if it fails. */
export async function runAsScript(main) {
  try {
    await main();
  } catch (error) {
    console.error(`set-up failed: ${error.message}`);
    process.exitCode = 2;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await runAsScript(setup);
