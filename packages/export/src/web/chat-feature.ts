import { fileURLToPath } from 'node:url';
import { pageFiles } from '@locmoe/logs/http';
import { Hono } from 'hono';
import type { ExportPackage } from 'locmoe/internal/cli/packages';

/**
 * Output of the build; the path is the same from `src` and from `dist`. The chat page shares parts of the
 * exported one.
 */
const WEB_DIR = fileURLToPath(new URL('../../dist/web/', import.meta.url));

/**
 * Serves the page of `locmoe api` at `/`, and its files at `/page/`. They need no token, as a browser cannot
 * send one before it has a page that asks for it.
 */
export const chatFeature: ExportPackage['chatFeature'] = () => {
  const send = pageFiles(WEB_DIR);
  const open = new Hono();
  open.get('/', (c) => send(c, 'chat/index.html'));
  open.get('/page/*', (c) => send(c, c.req.path.slice('/page/'.length)));
  return { routes: new Hono(), open };
};
