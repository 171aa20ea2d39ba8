// `npm run package`: makes the package that `npm install` accepts in any folder, since it is in no registry.
// In a fresh clone this first installs what the build needs.
import { spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from './build.mjs';
import { inPhase } from './progress.mjs';
import { runAsScript, setupPackages } from './setup.mjs';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

await runAsScript(async () => {
  await setupPackages();
  await inPhase('build', build);
  const { status, stdout, stderr, error } = spawnSync('npm', ['pack', '--silent'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  if (status !== 0)
    throw new Error(`npm pack: ${error?.message ?? (stderr.trim() || `exit code ${status}`)}`);
  const file = path.join(ROOT, stdout.trim());
  console.log(`${file}: ${(statSync(file).size / 1e6).toFixed(1)} MB`);
  console.log(`in any folder: npm install ${file}`);
});
