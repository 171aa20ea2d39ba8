import { createReadStream, statSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import path from 'node:path';

/** A browser loads a module only with the right content type. */
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.css': 'text/css',
  '.js': 'text/javascript',
  '.svg': 'image/svg+xml',
};

/** Serves static files with content types as the only headers, on a free port. */
export function serveFolder(root: string): Promise<Server> {
  const server = createServer(({ url }, response) => {
    const name = path.join(root, url!.endsWith('/') ? `${url}index.html` : url!);
    if (!statSync(name, { throwIfNoEntry: false })?.isFile()) {
      response.writeHead(404).end();
      return;
    }
    const type = TYPES[path.extname(name)];
    response.writeHead(200, type ? { 'content-type': type } : {});
    createReadStream(name).pipe(response);
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}
