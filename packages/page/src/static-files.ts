import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Output of the build; the same path from `src` and from `dist`. */
const PAGE_DIR = fileURLToPath(new URL('../dist/browser/', import.meta.url));
const UPLOT_DIR = path.join(
  path.dirname(createRequire(import.meta.url).resolve('uplot/package.json')),
  'dist',
);

const VENDOR: ReadonlyMap<string, string> = new Map([
  ['vendor/uplot.js', path.join(UPLOT_DIR, 'uPlot.esm.js')],
  ['vendor/uplot.css', path.join(UPLOT_DIR, 'uPlot.min.css')],
]);

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** Only the page's own files; no inline scripts or styles. */
export const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

export interface StaticFile {
  readonly body: Buffer<ArrayBuffer>;
  readonly type: string;
}

/** A file by its path under `/page/`; null if there is none. Names with `..` or a leading `/` never match. */
export async function staticFile(name: string): Promise<StaticFile | null> {
  const type = TYPES[path.extname(name)];
  if (type === undefined || !/^[a-z\d-]+(?:\/[a-z\d-]+)*\.[a-z]+$/.test(name)) return null;
  try {
    return { body: await readFile(VENDOR.get(name) ?? path.join(PAGE_DIR, name)), type };
  } catch {
    return null;
  }
}

/** A `Link` header that preloads all scripts, so that the browser need not follow imports one by one. */
export async function preloads(): Promise<string> {
  const names = await readdir(PAGE_DIR, { recursive: true }).catch(() => []);
  return [...names.filter((name) => name.endsWith('.js')), 'vendor/uplot.js']
    .map((name) => `</page/${name}>; rel=modulepreload`)
    .join(', ');
}
