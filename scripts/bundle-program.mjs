// Bundles a TypeScript program into one file that Node runs, and prints that file's path. A program that is loaded
// module by module through tsx takes a second of processor time before it begins, which a test of six processes pays
// six times.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

// The cache lies beside the packages that the program imports, as Node looks for them from the program's
// folder upwards.
const CACHE = fileURLToPath(new URL('../node_modules/.cache/locmoe-programs', import.meta.url));

/** Bundles only the files of this repository. `import.meta.url` of each stays the URL of its source. */
const sources = {
  name: 'sources',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^[^./]/ }, ({ path: name, kind }) =>
      kind === 'entry-point' || /^(locmoe|@locmoe)\//.test(name) ? undefined : { path: name, external: true },
    );
    onLoad({ filter: /\.(ts|mjs)$/ }, ({ path: file }) => ({
      contents: readFileSync(file, 'utf8').replaceAll('import.meta.url', JSON.stringify(pathToFileURL(file))),
      loader: file.endsWith('.ts') ? 'ts' : 'js',
    }));
  },
};

const { outputFiles } = await build({
  entryPoints: [process.argv[2]],
  bundle: true,
  platform: 'node',
  format: 'esm',
  conditions: ['source'],
  plugins: [sources],
  write: false,
});
const [{ text }] = outputFiles;
// The name is a hash of the contents, so that another process may run the file while this one writes it again.
const file = path.join(CACHE, `${createHash('sha256').update(text).digest('hex').slice(0, 16)}.mjs`);
mkdirSync(CACHE, { recursive: true });
writeFileSync(`${file}.${process.pid}`, text);
renameSync(`${file}.${process.pid}`, file);
console.log(file);
