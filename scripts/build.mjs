// Compiles the packages to their dist/ in order of dependency, then the browser code, whose HTML, CSS and
// pictures are copied.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { inPhase, withProgress } from './progress.mjs';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

/** The projects, in order of dependency. */
const PROJECTS = [
  ['packages/logs/tsconfig.build.json'],
  ['packages/run-format/tsconfig.build.json'],
  ['tsconfig.build.json'],
  ['packages/page/tsconfig.build.json'],
  ['packages/test-kit/tsconfig.build.json'],
  ['packages/export/tsconfig.build.json'],
  ['packages/bench/tsconfig.build.json'],
  browserProject('page'),
  browserProject('export'),
];

/** Folders of browser code in the packages. */
const BROWSER = ['page/src/browser', 'export/src/web/browser', 'export/src/web/chat'].map(
  (name) => `packages/${name}`,
);

/**
 * Files of npm packages that an exported page needs. The packages themselves are a hundred times as large, so
 * users do not install them.
 */
const VENDOR = path.join(ROOT, 'packages/export/dist/web/browser/vendor');
const VENDORED = {
  'onnxruntime.js': 'onnxruntime-web/dist/ort.wasm.bundle.min.mjs',
  'onnxruntime.wasm': 'onnxruntime-web/dist/ort-wasm-simd-threaded.wasm',
  'kitoken.js': 'kitoken/dist/web.js',
  'kitoken.wasm': 'kitoken/dist/web_bg.wasm',
};

/** Files of the page of runs that exported pages show too; modules come with all that they import. */
const SHARED = [
  'watch/embed.js',
  'watch/index.html',
  'watch/watch.css',
  'routing/tokens.css',
  'theme.css',
  'page.css',
  'icon.svg',
];

/** Makes the project of browser code use the built declarations; the type check reads the sources. */
function browserProject(name) {
  return [
    `packages/${name}/tsconfig.browser.json`,
    '--noEmit',
    'false',
    '--rootDir',
    `packages/${name}/src`,
    '--customConditions',
    'default',
  ];
}

const COMPILER = 'node_modules/typescript/bin/tsc';

/** @throws {Error} if the packages are not installed, or if the compiler reports errors, which it has printed */
export async function build(log) {
  if (!existsSync(path.join(ROOT, COMPILER)))
    throw new Error('build: the packages that it takes are not installed; run `npm run setup` first');
  // Modules that have moved would otherwise still be found, and packed, at their old place.
  for (const [project] of PROJECTS)
    rmSync(path.join(ROOT, path.dirname(project), 'dist'), { recursive: true, force: true });
  let done = 0;
  await withProgress(
    log,
    () => `${done} of ${PROJECTS.length} projects compiled`,
    async () => {
      for (const [project, ...options] of PROJECTS) {
        const args = [COMPILER, '-p', project, ...options];
        const [code] = await once(spawn(process.execPath, args, { cwd: ROOT, stdio: 'inherit' }), 'exit');
        if (code !== 0) throw new Error(`build: the TypeScript compiler reported errors in ${project}`);
        done += 1;
      }
    },
  );
  for (const folder of BROWSER)
    for (const name of readdirSync(path.join(ROOT, folder), { recursive: true }))
      if (/\.(?:html|css|svg)$/.test(name))
        cpSync(path.join(ROOT, folder, name), path.join(ROOT, folder.replace('/src/', '/dist/'), name));
  copyShared(SHARED);
  for (const [name, source] of Object.entries(VENDORED))
    cpSync(path.join(ROOT, 'node_modules', source), path.join(VENDOR, name));
  writeFileSync(path.join(VENDOR, 'NOTICE.txt'), notice());
  // npm links and marks a command only if it is there, and this one is built after npm has run.
  chmodSync(path.join(ROOT, 'dist/cli/cli.js'), 0o755);
  const command = path.join(ROOT, 'node_modules/.bin/locmoe');
  rmSync(command, { force: true });
  symlinkSync('../../dist/cli/cli.js', command);
}

function copyShared(names, done = new Set()) {
  for (const name of names.filter((each) => !done.has(each))) {
    done.add(name);
    const from = path.join(ROOT, 'packages/page/dist/browser', name);
    cpSync(from, path.join(ROOT, 'packages/export/dist/web/browser/inspect', name));
    const imports = name.endsWith('.js') ? readFileSync(from, 'utf8').matchAll(/ from '(\..+?)';/g) : [];
    copyShared(
      [...imports].map(([, other]) => path.join(path.dirname(name), other)),
      done,
    );
  }
}

/** Lists the origins and licences of the vendored files. */
function notice() {
  const packages = new Set(Object.values(VENDORED).map((source) => source.split('/')[0]));
  const lines = [...packages].map((name) => {
    const manifest = JSON.parse(readFileSync(path.join(ROOT, 'node_modules', name, 'package.json'), 'utf8'));
    return `${name} ${manifest.version}, ${manifest.license}, ${manifest.repository.url}\n`;
  });
  return lines.join('');
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  try {
    await inPhase('build', build);
  } catch (error) {
    console.error(error.message);
    process.exitCode = 2;
  }
