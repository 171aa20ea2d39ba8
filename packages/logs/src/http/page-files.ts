import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Context } from 'hono';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** Policy that allows only the page's own files, and no inline scripts or styles. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** Answers with a file of a page, by its path in the page's folder; 404 if there is none. */
export type SendFile = (c: Context, name: string) => Promise<Response>;

/**
 * Serves the files of a page, with a policy that forbids loading anything from elsewhere. Names with `..` or
 * a leading `/` never match.
 *
 * @param others paths on disk of files that are not in `folder`, by name
 */
export function pageFiles(folder: string, others: ReadonlyMap<string, string> = new Map()): SendFile {
  return async (c, name) => {
    const type = TYPES[path.extname(name)];
    const isName = type !== undefined && /^[a-z\d-]+(?:\/[a-z\d-]+)*\.[a-z]+$/.test(name);
    const body = isName
      ? await readFile(others.get(name) ?? path.join(folder, name)).catch(() => null)
      : null;
    if (type === undefined || body === null) return c.text(`no file ${name}\n`, 404);
    c.header('Content-Security-Policy', CONTENT_SECURITY_POLICY);
    c.header('Cache-Control', 'no-cache');
    return c.body(body, 200, { 'Content-Type': type });
  };
}
