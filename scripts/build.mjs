// Compiles the packages, each to its dist/, those first on which others build; then the page for the browser, whose HTML,
// CSS and pictures are copied as they are.
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const PAGE = 'observability/page/browser';

/** @throws {Error} if the compiler reports errors; it has printed them */
export function build() {
  for (const project of ['packages/logs', 'tsconfig.build.json', 'tsconfig.page.json']) {
    const compiler = ['node_modules/typescript/bin/tsc', '-p', project];
    const { status } = spawnSync(process.execPath, compiler, { cwd: ROOT, stdio: 'inherit' });
    if (status !== 0) throw new Error(`build: the TypeScript compiler reported errors in ${project}`);
  }
  for (const name of readdirSync(path.join(ROOT, 'src', PAGE)))
    if (/\.(?:html|css|svg)$/.test(name))
      cpSync(path.join(ROOT, 'src', PAGE, name), path.join(ROOT, 'dist', PAGE, name));
  // npm makes the command executable when it links it, not when it is built anew: `npx locmoe` would be refused.
  chmodSync(path.join(ROOT, 'dist/cli/cli.js'), 0o755);
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  try {
    build();
  } catch (error) {
    console.error(error.message);
    process.exitCode = 2;
  }
