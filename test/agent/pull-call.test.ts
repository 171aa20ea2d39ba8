import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { pullDirectly } from '../../src/agent/pull-call.js';
import { NO_SECURITY } from '../../src/rpc/security.js';

it.each([
  ['100 % wrong', '100 % wrong'],
  ['not%20here', 'not here'],
])('a server that refuses with the message %s is quoted', async (message, details) => {
  const server = http2.createServer().on('stream', (stream) => {
    stream.respond({ ':status': 200, 'grpc-status': '13', 'grpc-message': message }, { endStream: true });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const call = pullDirectly(
    {
      address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
      security: NO_SECURITY,
      keepaliveMs: 5_000,
      timeoutMs: 5_000,
      open: { request: 'open', open: { runId: 'r', generation: 1, node: 0, ringBytes: 4096 } },
      onLost: () => undefined,
    },
    { take: () => undefined, place: () => null, filled: () => undefined },
  );
  await expect(call).rejects.toEqual({ code: 13, details });
});
