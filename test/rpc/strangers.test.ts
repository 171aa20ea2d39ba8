import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import * as grpc from '@grpc/grpc-js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { formatAddress } from '../../src/rpc/address.js';
import { CONNECTION_LIMITS } from '../../src/rpc/connection-limits.js';
import { CoordinatorClient } from '../../src/rpc/coordinator-client.js';
import { checkHealth } from '../../src/rpc/health.js';
import { randomName, withName } from '../../src/rpc/http2/connection-name.js';
import { encodeFrame, FRAME, PREFACE } from '../../src/rpc/http2/frames.js';
import { loadProto } from '../../src/rpc/load-proto.js';
import { clientTls, loadSecurity, randomToken, type Security, withOwnToken } from '../../src/rpc/security.js';
import { createRpcServer, listen } from '../../src/rpc/server.js';
import { certificateFolder } from './certificate-folder.js';

const OPENING = Buffer.concat([
  PREFACE,
  encodeFrame({ type: FRAME.settings, flags: 0, stream: 0 }, Buffer.alloc(0)),
]);
const PINGS = Buffer.concat(
  Array.from({ length: 200 }, () => encodeFrame({ type: 0x6, flags: 0, stream: 0 }, Buffer.alloc(8))),
);
const NUM_IDLE = 3_000;
const ECHO_MS = 1_000;

const service = loadProto('coordinator', 'locmoe.coordinator.v1.Coordinator');

/** Starts a server, to whose `lines` go its warnings, and opens a session of a member. */
async function serve(security: Security) {
  const rpc = createRpcServer(security);
  rpc.server.addService(service, {
    GetStatus: (_call: object, reply: grpc.sendUnaryData<object>) => reply(null, {}),
    Session: (call: grpc.ServerDuplexStream<object, object>) => void call.resume(),
  });
  const lines: string[] = [];
  rpc.onRefused = (line) => lines.push(line);
  const { port } = await listen(rpc, { host: '127.0.0.1', port: 0 }, '--listen');
  const address = formatAddress({ host: '127.0.0.1', port });
  const { path, requestSerialize, responseDeserialize } = service.Session!;
  const client = new grpc.Client(address, security.channelCredentials, security.clientOptions);
  const session = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
  let ended: string | null = null;
  session.on('error', ({ message }) => {
    ended = message;
  });
  session.resume().write({});
  const member = new CoordinatorClient(address, security);
  await member.status();
  await expect.poll(() => rpc.strangers.size).toBe(0);
  onTestFinished(() => {
    for (const each of [client, member]) each.close();
    rpc.close();
  });
  /** Joins with a connection of its own. */
  const join = async () => {
    const joining = new CoordinatorClient(address, security);
    await joining.status();
    joining.close();
  };
  return { rpc, port, address, lines, member, join, whyEnded: () => ended };
}

function limit(changed: Partial<typeof CONNECTION_LIMITS>): void {
  const before = { ...CONNECTION_LIMITS };
  Object.assign(CONNECTION_LIMITS, changed);
  onTestFinished(() => void Object.assign(CONNECTION_LIMITS, before));
}

describe.each([
  ['in plain text', async () => withOwnToken(randomToken())],
  ['with TLS', async () => loadSecurity({ tls: await certificateFolder() })],
])('%s, a connection without an accepted call', (_, makeSecurity) => {
  it(`costs a member neither its own nor ${ECHO_MS} ms, as one of ${NUM_IDLE}`, async () => {
    const security = await makeSecurity();
    const { rpc, port, address, lines, member, join, whyEnded } = await serve(security);
    const strangers: Socket[] = [];
    onTestFinished(() => {
      for (const socket of strangers) socket.destroy();
    });
    let isOver = false;
    let slowestMs = 0;
    const echoes = (async () => {
      while (!isOver) {
        const began = performance.now();
        await Promise.all([member.status(), join()]);
        slowestMs = Math.max(slowestMs, performance.now() - began);
        await sleep(20);
      }
    })();
    let cut = 0;
    while (strangers.length < NUM_IDLE) {
      const socket = connect(port, '127.0.0.1').on('error', () => undefined);
      strangers.push(socket.on('close', () => (cut += 1)));
      await once(socket, 'connect');
      // Under TLS these bytes would be an error and end the handshake, which these connections must leave unfinished.
      if (security.tls === null)
        socket.resume().write(strangers.length % 2 === 0 ? OPENING : withName(OPENING, randomName()));
    }
    await expect.poll(() => cut).toBeGreaterThanOrEqual(NUM_IDLE - CONNECTION_LIMITS.strangers);
    expect(rpc.strangers.size).toBeLessThanOrEqual(CONNECTION_LIMITS.strangers);
    await checkHealth(address, security);
    isOver = true;
    await echoes;
    expect(slowestMs).toBeLessThan(ECHO_MS);
    expect(whyEnded()).toBeNull();
    expect(lines[0]).toMatch(
      /^closed \d+ connections? without an accepted call \(\d+ over the limit of 250\), the last from 127\.0\.0\.1:\d+$/,
    );
    for (const socket of strangers) socket.destroy();
    await expect.poll(() => rpc.strangers.size).toBe(0);
  });

  it.each([
    ['a name', (opening: Buffer) => withName(opening, randomName())],
    ['no name', (opening: Buffer) => opening],
  ])(
    'and with %s is closed after its time, and after its bytes, if it reads no answer',
    async (__, named) => {
      limit({ acceptMs: 400 });
      const security = await makeSecurity();
      const { port, lines, join, whyEnded } = await serve(security);
      /** Returns the bytes sent until the server closes the connection. */
      const sentUntilCut = async (bytes: Buffer) => {
        const [socket, connected] =
          security.tls === null
            ? [connect(port, '127.0.0.1'), 'connect']
            : [connectTls({ host: '127.0.0.1', port, ...clientTls(security.tls) }), 'secureConnect'];
        let isCut = false;
        socket.on('error', () => undefined).on('close', () => (isCut = true));
        onTestFinished(() => void socket.destroy());
        await once(socket, connected);
        socket.pause().write(named(OPENING));
        let sent = 0;
        const deadline = performance.now() + 5_000;
        for (; !isCut && performance.now() < deadline; sent += bytes.length) {
          // A paused socket notices its end only when it is written to.
          socket.write(bytes);
          await sleep(5);
        }
        return isCut ? sent : Number.POSITIVE_INFINITY;
      };
      const idle = await sentUntilCut(PINGS.subarray(0, 17));
      expect(idle).toBeLessThan(CONNECTION_LIMITS.acceptBytes);
      // gRPC itself leaves a few behind, of which nobody needs to know.
      expect(lines).toEqual([]);
      limit({ acceptMs: 60_000, strangersUntold: 0 });
      await expect.poll(() => lines).toEqual([expect.stringContaining('(1 after 0.4 s)')]);
      const flood = await sentUntilCut(PINGS);
      expect(flood).toBeGreaterThan(CONNECTION_LIMITS.acceptBytes / 2);
      expect(flood).toBeLessThan(8 * CONNECTION_LIMITS.acceptBytes);
      await join();
      expect(whyEnded()).toBeNull();
    },
  );
});
