import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { pullDirectly } from '../../../src/agent/transport/direct-transport.js';
import { loadProto } from '../../../src/rpc/load-proto.js';
import {
  loadSecurity,
  NO_SECURITY,
  randomToken,
  tlsOptions,
  withOwnToken,
} from '../../../src/rpc/security.js';
import { createRpcServer, listen } from '../../../src/rpc/server.js';
import { certificateFolder } from '../../rpc/certificate-folder.js';

/** @returns a call that the server refuses */
function pull(port: number, timeoutMs: number, security = NO_SECURITY) {
  return pullDirectly(
    {
      address: `127.0.0.1:${port}`,
      security,
      keepaliveMs: 5_000,
      timeoutMs,
      open: { request: 'open', open: { runId: 'r', generation: 1, node: 0, ringBytes: 4096 } },
    },
    { take: () => undefined, place: () => null, filled: () => undefined },
  );
}

it('a call without the token is refused, and the server names it by its address', async () => {
  const rpc = createRpcServer(withOwnToken(randomToken()));
  const refusals: string[] = [];
  rpc.onRefused = (line) => refusals.push(line);
  const service = loadProto('collectives', 'locmoe.collectives.v1.Collectives');
  rpc.server.addService(service, { Pull: () => undefined });
  const { port } = await listen(rpc, { host: '127.0.0.1', port: 0 }, '--listen');
  onTestFinished(() => rpc.close());
  await expect(pull(port, 60_000)).rejects.toMatchObject({
    code: 16,
    details: expect.stringContaining('none was given'),
  });
  expect(refusals).toEqual([expect.stringMatching(/\/Pull of 127\.0\.0\.1:\d+: wrong join token/)]);
});

it('a call says whether it is encrypted (RFC 9113, section 8.3.1)', async () => {
  const security = loadSecurity({ tls: await certificateFolder() });
  for (const [scheme, server] of [
    ['http', http2.createServer()],
    ['https', http2.createSecureServer(tlsOptions(security)!)],
  ] as const) {
    server.on('stream', (stream, headers) => {
      const answer = { 'grpc-status': '13', 'grpc-message': String(headers[':scheme']) };
      stream.respond({ ':status': 200, ...answer }, { endStream: true });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const call = pull(port, 5_000, scheme === 'http' ? NO_SECURITY : security);
    await expect(call).rejects.toEqual({ code: 13, details: scheme });
  }
});

it.each([
  ['100 % wrong', '100 % wrong'],
  ['not%20here', 'not here'],
])('a server that refuses with the message %s is quoted', async (message, details) => {
  const server = http2.createServer().on('stream', (stream) => {
    stream.respond({ ':status': 200, 'grpc-status': '13', 'grpc-message': message }, { endStream: true });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const call = pull((server.address() as AddressInfo).port, 5_000);
  await expect(call).rejects.toEqual({ code: 13, details });
});
