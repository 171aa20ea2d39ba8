import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { onTestFinished } from 'vitest';

/** The user and the group `nobody`. */
export const NOBODY = { uid: 65_534, gid: 65_534 };

/** Only root can start processes of another user. */
export const IS_ROOT = process.getuid?.() === 0;

const LISTEN = `
  const server = require('node:net').createServer(() => console.log('called'));
  server.listen(0, '127.0.0.1', () => console.log(server.address().port));
`;

/**
 * Opens a loopback port of another user's process, which ends with the test; `wasCalled` tells whether anybody
 * connected.
 */
export async function foreignPort(): Promise<{ readonly port: number; wasCalled(): boolean }> {
  const child = spawn(process.execPath, ['-e', LISTEN], {
    ...NOBODY,
    cwd: '/',
    env: {},
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let said = '';
  child.stdout.on('data', (chunk) => {
    said += chunk;
  });
  // Fails at once where the other user cannot read the binary of Node, as in root's home.
  await once(child, 'spawn');
  await once(child.stdout, 'data');
  return { port: Number.parseInt(said, 10), wasCalled: () => said.includes('called') };
}
