// Compiles the packages to their dist/ in order of dependency, then the browser page, whose HTML, CSS and
// pictures are copied.
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const PAGE = path.join(ROOT, 'packages/page');

/** In order of dependency. */
const PROJECTS = [
  ['packages/logs/tsconfig.build.json'],
  ['tsconfig.build.json'],
  ['packages/page/tsconfig.build.json'],
  ['packages/test-kit/tsconfig.build.json'],
  ['packages/export/tsconfig.build.json'],
  ['packages/bench/tsconfig.build.json'],
  // Uses the built declarations; the type check reads the sources.
  [
    ...['packages/page/tsconfig.browser.json', '--noEmit', 'false', '--rootDir', 'packages/page/src'],
    ...['--customConditions', 'default'],
  ],
];

/** @throws {Error} if the compiler reports errors; it has printed them */
export function build() {
  // Modules that have moved would still be found, and packed, at their old place.
  for (const [project] of PROJECTS)
    rmSync(path.join(ROOT, path.dirname(project), 'dist'), { recursive: true, force: true });
  for (const [project, ...options] of PROJECTS) {
    const compiler = ['node_modules/typescript/bin/tsc', '-p', project, ...options];
    const { status } = spawnSync(process.execPath, compiler, { cwd: ROOT, stdio: 'inherit' });
    if (status !== 0) throw new Error(`build: the TypeScript compiler reported errors in ${project}`);
  }
  for (const name of readdirSync(path.join(PAGE, 'src/browser')))
    if (/\.(?:html|css|svg)$/.test(name))
      cpSync(path.join(PAGE, 'src/browser', name), path.join(PAGE, 'dist/browser', name));
  // npm sets the executable bit when it links the command, not on a rebuild; `npx locmoe` would be refused.
  chmodSync(path.join(ROOT, 'dist/cli/cli.js'), 0o755);
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  try {
    build();
  } catch (error) {
    console.error(error.message);
    process.exitCode = 2;
  }
