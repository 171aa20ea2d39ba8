import { createServer } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  advertisedAddress,
  formatAddress,
  isLoopback,
  isWildcard,
  localAddressTowards,
  parseAddress,
} from '../../src/rpc/address.js';

describe('an address', () => {
  it.each([
    ['127.0.0.1:80', { host: '127.0.0.1', port: 80 }],
    ['node-0:0', { host: 'node-0', port: 0 }],
    ['[::1]:50051', { host: '::1', port: 50051 }],
  ])('%s is parsed and written back', (text, address) => {
    expect(parseAddress('--listen', text)).toEqual(address);
    expect(formatAddress(address)).toBe(text);
  });

  it.each(['', 'host', ':80', '::1:80', 'a b:80', 'host:99999', 'host:x', 'http://host:80'])(
    '%j is refused with the option and an example',
    (text) => {
      expect(() => parseAddress('--listen', text)).toThrow(/^--listen .*expected HOST:PORT, e\.g\./);
    },
  );

  it('may leave out its port where there is a default', () => {
    expect(parseAddress('--advertise', 'host', 7)).toEqual({ host: 'host', port: 7 });
  });

  it.each(['127.0.0.1', '127.8.9.10', '::1', 'localhost'])('%s is loopback', (host) => {
    expect(isLoopback(host)).toBe(true);
  });

  it.each(['0.0.0.0', '10.0.0.1', '::', 'coordinator', '128.0.0.1', '2001:db8::1'])(
    '%s is not loopback',
    (host) => {
      expect(isLoopback(host)).toBe(false);
    },
  );

  it.each(['0.0.0.0', '::', '0:0:0:0:0:0:0:0'])('%s is a wildcard', (host) => {
    expect(isWildcard(host)).toBe(true);
  });
});

describe('what is advertised', () => {
  const bound = { host: '0.0.0.0', port: 50 };

  it('is never a wildcard', async () => {
    expect(await advertisedAddress(bound, undefined, () => 'me')).toEqual({ host: 'me', port: 50 });
    for (const advertise of ['0.0.0.0', '[::]:5', 'host:0'])
      await expect(advertisedAddress(bound, advertise, () => 'me')).rejects.toThrow(
        /nobody can connect to that address/,
      );
  });

  it('is what was asked for, or the address that is listened at', async () => {
    const own = { host: '127.0.0.3', port: 9 };
    expect(await advertisedAddress(own, undefined, () => 'me')).toEqual(own);
    expect(await advertisedAddress(bound, 'nat:80', () => 'me')).toEqual({ host: 'nat', port: 80 });
    expect(await advertisedAddress(bound, 'nat', () => 'me')).toEqual({ host: 'nat', port: 50 });
  });

  it('is by default the interface of the route to the coordinator', async () => {
    const server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.9', resolve));
    onTestFinished(() => void server.close());
    const { port } = server.address() as { port: number };
    expect(await localAddressTowards({ host: '127.0.0.9', port }, 1000)).toMatch(/^127\./);
    await expect(localAddressTowards({ host: '127.0.0.9', port: 9 }, 1000)).rejects.toThrow(
      /nothing answers at 127\.0\.0\.9:9 \(nothing listens on that port\)/,
    );
  });
});
