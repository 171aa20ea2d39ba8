// `npm run quickstart`: installs, builds, and trains the `tiny` recipe locally. Arguments are passed on to
// `locmoe train`.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from './build.mjs';
import { inPhase } from './progress.mjs';
import { runAsScript, setup } from './setup.mjs';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

/** Trains in a child process, which gets Ctrl-C from the terminal itself. */
async function train() {
  const args = ['dist/cli/cli.js', 'train', '--config', 'tiny', ...process.argv.slice(2)];
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio: 'inherit' });
  process.on('SIGINT', () => undefined);
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  process.exitCode = await new Promise((resolve) =>
    child.on('exit', (code, signal) => resolve(code ?? 128 + (constants.signals[signal] ?? 0))),
  );
}

await runAsScript(async () => {
  await setup({ omitDev: true });
  await inPhase('build', build);
  await train();
});
