// Installs npm packages, TensorFlow's native library and the corpus packages; quick if all are present. Plain
// JavaScript without dependencies, because it runs before any are installed.
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { installLocked } from './install-locked.mjs';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

/** Runs a phase and logs its duration. */
export async function phase(name, run) {
  const started = performance.now();
  await run((line) => console.log(`[${name}] ${line}`));
  console.log(`[${name}] ${((performance.now() - started) / 1000).toFixed(1)} s`);
}

/** Installs the npm packages that a build needs. */
export async function setupPackages() {
  const { node } = process.versions;
  if (Number(node.split('.')[0]) < 20) throw new Error(`Node ${node} is too old: use 20 or later`);
  await phase('packages', (log) => installLocked(ROOT, 'the dependencies', log));
}

export async function setup() {
  await setupPackages();
  await phase('tensorflow', async (log) => (await import('./tensorflow.mjs')).setupTensorFlow(log));
  await phase('onednn', async (log) => (await import('./onednn.mjs')).setupOneDnn(log));
  await phase('corpus', (log) =>
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

if (process.argv[1] === fileURLToPath(import.meta.url)) await runAsScript(setup);
