// Builds the page into a folder: node packages/playground/build.mjs FOLDER. The trainer's own sources are bundled; where they
// need Node, modules of the browser stand in for them.
import { cpSync, mkdirSync } from 'node:fs';
import { builtinModules } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { tensorFlowFolder } from '../../scripts/tensorflow.mjs';

const HERE = import.meta.dirname;
const TRAINER = path.join(HERE, '../../src');
const REPLACED = path.join(HERE, 'src/browser-modules');
const PROGRAMS = ['main', 'trainer', 'device', 'isolate'];

/** Modules of the trainer that only Node can run, and what takes their place. */
const REPLACEMENTS = {
  'ops/tensorflow.ts': 'tensorflow.ts',
  'ops/node-backend.ts': 'node-backend.ts',
  'ops/kernels/choose-kernels.ts': 'choose-kernels.ts',
  'ops/kernels/tensorflow/compiled.ts': 'compiled.ts',
  'ops/kernels/tensorflow/raw-op.ts': 'raw-op.ts',
  'routing/own/own-router.ts': 'own-router.ts',
};

const replacements = new Map(
  Object.entries(REPLACEMENTS).map(([from, to]) => [path.join(TRAINER, from), path.join(REPLACED, to)]),
);

const forTheBrowser = {
  name: 'for-the-browser',
  setup({ onResolve, onLoad, resolve }) {
    onLoad({ filter: /\.ts$/ }, ({ path: file }) => {
      const instead = replacements.get(file);
      if (instead === undefined) return undefined;
      return { contents: `export * from ${JSON.stringify(instead)};`, resolveDir: REPLACED };
    });
    // The trainer reads and hashes files by modules of Node, and this page calls none of that.
    const ofNode = new RegExp(`^(node:.*|kitoken/node|@node-rs/crc32|${builtinModules.join('|')})$`);
    onResolve({ filter: ofNode }, ({ path: name }) => ({ path: name, namespace: 'node' }));
    onLoad({ filter: /./, namespace: 'node' }, () => ({ contents: 'module.exports = {};' }));
    onResolve({ filter: /^@tensorflow\// }, async ({ path: name, kind, pluginData }) => {
      if (pluginData === 'found') return undefined;
      const found = await resolve(name, { kind, resolveDir: tensorFlowFolder(), pluginData: 'found' });
      // A backend is imported for what it registers.
      return { ...found, sideEffects: true };
    });
  },
};

/** See build.d.mts. */
export async function buildPlayground(folder) {
  mkdirSync(folder, { recursive: true });
  await build({
    entryPoints: PROGRAMS.map((name) => path.join(HERE, `src/${name}.ts`)),
    outdir: folder,
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2023',
    conditions: ['source'],
    define: { 'process.env': '{}', 'process.platform': '"browser"' },
    plugins: [forTheBrowser],
    logLevel: 'warning',
  });
  for (const name of ['index.html', 'playground.css'])
    cpSync(path.join(HERE, 'src', name), path.join(folder, name));
  const page = path.join(HERE, '../page/src/browser');
  for (const name of ['theme.css', 'icon.svg']) cpSync(path.join(page, name), path.join(folder, name));
  cpSync(path.join(HERE, '../../node_modules/kitoken/dist/web_bg.wasm'), path.join(folder, 'kitoken.wasm'));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, , folder] = process.argv;
  if (folder === undefined) {
    console.error(
      'playground: name the folder that gets the page: node packages/playground/build.mjs FOLDER',
    );
    process.exitCode = 2;
  } else await buildPlayground(path.resolve(folder));
}
