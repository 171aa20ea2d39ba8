// Installs npm packages, TensorFlow's native library and the corpus packages; quick if all are present. With --omit=dev
// only what building and training need, without what checks the project. Plain JavaScript without dependencies, because
// it runs before any are installed.
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { installLocked } from './install-locked.mjs';
import { inPhase } from './progress.mjs';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

/** Installs the npm packages: with `omitDev` those that a build needs. */
export async function setupPackages(options = { omitDev: true }) {
  const { node } = process.versions;
  if (Number(node.split('.')[0]) < 20) throw new Error(`Node ${node} is too old: use 20 or later`);
  await inPhase('packages', (log) => installLocked(ROOT, 'the dependencies', log, options));
}

export async function setup(options) {
  await setupPackages(options);
  await inPhase('tensorflow', async (log) => (await import('./tensorflow.mjs')).setupTensorFlow(log));
  await inPhase('onednn', async (log) => (await import('./onednn.mjs')).setupOneDnn(log));
  await inPhase('corpus', (log) =>
    installLocked(path.join(ROOT, 'corpus'), 'the text sources (about 20 MB)', log),
  );
}

/** Runs `main`; on failure prints one line and exits with code 2. */
export async function runAsScript(main) {
  try {
    await main();
  } catch (error) {
    console.error(`set-up failed: ${error.message}`);
    process.exitCode = 2;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  await runAsScript(() => setup({ omitDev: process.argv.includes('--omit=dev') }));
