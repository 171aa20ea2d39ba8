import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { freePort } from '@locmoe/test-kit';
import { describe, expect, it, onTestFinished } from 'vitest';
import { isOwnPort, openFilesBehind } from '../../src/os/tcp-listeners.js';
import { foreignPort, IS_ROOT } from '../foreign-port.js';

async function ownPort(host: string): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}

describe('a port', () => {
  it.each(['127.0.0.1', '127.0.0.3', '0.0.0.0'])(
    'at %s of this user tells what its process has open',
    async (host) => {
      const port = await ownPort(host);
      const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-port-'));
      const file = path.join(folder, 'run.lock');
      const fd = openSync(file, 'a');
      onTestFinished(() => {
        closeSync(fd);
        rmSync(folder, { recursive: true });
      });
      expect(isOwnPort(port)).toBe(true);
      expect(openFilesBehind(port)).toContain(file);
    },
  );

  it('at which nobody listens is not this user’s', async () => {
    const port = await freePort();
    expect([isOwnPort(port), openFilesBehind(port)]).toEqual([false, []]);
  });

  it.skipIf(!IS_ROOT)('of another user tells nothing, and is not even dialled', async () => {
    const { port, wasCalled } = await foreignPort();
    expect([isOwnPort(port), openFilesBehind(port), wasCalled()]).toEqual([false, [], false]);
  });
});
