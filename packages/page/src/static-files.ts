import { readdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { pageFiles } from '@locmoe/logs/http';

/** Output of the build; the path is the same from `src` and from `dist`, as that of settings.js is. */
const PAGE_DIR = fileURLToPath(new URL('../dist/browser/', import.meta.url));
const { resolve } = createRequire(import.meta.url);
const UPLOT_DIR = path.join(path.dirname(resolve('uplot/package.json')), 'dist');

const VENDOR: ReadonlyMap<string, string> = new Map([
  [
    'vendor/settings.js',
    path.join(path.dirname(resolve('@locmoe/run-format/settings')), '../dist/settings.js'),
  ],
  ['vendor/uplot.js', path.join(UPLOT_DIR, 'uPlot.esm.js')],
  ['vendor/uplot.css', path.join(UPLOT_DIR, 'uPlot.min.css')],
]);

/** A file by its path under `/page/`. */
export const sendFile = pageFiles(PAGE_DIR, VENDOR);

/** Returns a `Link` header that preloads all scripts, so that the browser need not follow imports one by one. */
export async function preloads(): Promise<string> {
  const names = await readdir(PAGE_DIR, { recursive: true }).catch(() => []);
  return [...names, ...VENDOR.keys()]
    .filter((name) => name.endsWith('.js'))
    .map((name) => `</page/${name}>; rel=modulepreload`)
    .join(', ');
}
