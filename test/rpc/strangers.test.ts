import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import * as grpc from '@grpc/grpc-js';
import { expect, it, onTestFinished } from 'vitest';
import { formatAddress } from '../../src/rpc/address.js';
import { CONNECTION_LIMITS } from '../../src/rpc/connection-limits.js';
import { CoordinatorClient } from '../../src/rpc/coordinator-client.js';
import { checkHealth } from '../../src/rpc/health.js';
import { encodeFrame, FRAME, PREFACE } from '../../src/rpc/http2/frames.js';
import { loadProto } from '../../src/rpc/load-proto.js';
import { loadSecurity, randomToken, withOwnToken } from '../../src/rpc/security.js';
import { createRpcServer, listen } from '../../src/rpc/server.js';
import { certificateFolder } from './certificate-folder.js';

const OPENING = Buffer.concat([
  PREFACE,
  encodeFrame({ type: FRAME.settings, flags: 0, stream: 0 }, Buffer.alloc(0)),
]);
const EXCESS = 500;

it.each([
  ['in plain text', async () => withOwnToken(randomToken())],
  ['with TLS', async () => loadSecurity({ tls: await certificateFolder() })],
])('%s, connections without an accepted call have a limit that costs no member its own', async (_, make) => {
  const security = await make();
  const rpc = createRpcServer(security);
  const service = loadProto('coordinator', 'locmoe.coordinator.v1.Coordinator');
  rpc.server.addService(service, {
    GetStatus: (_call: object, reply: grpc.sendUnaryData<object>) => reply(null, {}),
    Session: (call: grpc.ServerDuplexStream<object, object>) => void call.resume(),
  });
  const address = formatAddress(await listen(rpc, { host: '127.0.0.1', port: 0 }, '--listen'));
  const strangers: Socket[] = [];
  onTestFinished(() => {
    for (const socket of strangers) socket.destroy();
    rpc.close();
  });
  const { path, requestSerialize, responseDeserialize } = service.Session!;
  const member = new grpc.Client(address, security.channelCredentials, security.clientOptions);
  const session = member.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
  let ended: string | null = null;
  session.on('error', ({ message }) => {
    ended = message;
  });
  session.resume();
  session.write({});
  const late = new CoordinatorClient(address, security);
  await late.status();
  await expect.poll(() => rpc.strangers.size).toBe(0);

  let cut = 0;
  while (strangers.length < CONNECTION_LIMITS.strangers + EXCESS) {
    const some = Array.from({ length: 100 }, () => connect(Number(address.split(':')[1]), '127.0.0.1'));
    await Promise.all(some.map((socket) => once(socket, 'connect')));
    for (const socket of some) socket.on('error', () => undefined).on('close', () => (cut += 1));
    // Under TLS these bytes would be an error and end the handshake, which these connections must leave unfinished.
    for (const socket of some) if (security.tls === null) socket.resume().write(OPENING);
    strangers.push(...some);
  }
  await expect.poll(() => cut).toBeGreaterThanOrEqual(EXCESS);
  expect(rpc.strangers.size).toBeLessThanOrEqual(CONNECTION_LIMITS.strangers);
  await late.status();
  await checkHealth(address, security);
  const joining = new CoordinatorClient(address, security);
  await joining.status();
  expect(ended).toBeNull();
  for (const client of [late, joining, member]) client.close();
  for (const socket of strangers) socket.destroy();
  await expect.poll(() => rpc.strangers.size).toBe(0);
});
