import { createServer } from 'node:net';

/**
 * Returns a port of 127.0.0.1 that was free a moment ago, for programs that must know the port before
 * listening.
 */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}
