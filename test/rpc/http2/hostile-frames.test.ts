import { once } from 'node:events';
import http2 from 'node:http2';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import { checkHealth } from '../../../src/rpc/health.js';
import { randomName, withName } from '../../../src/rpc/http2/connection-name.js';
import { DirectCall } from '../../../src/rpc/http2/direct-client.js';
import { directListener } from '../../../src/rpc/http2/direct-server.js';
import { encodeFrame, encodeSettings, FLAG, FRAME, PREFACE } from '../../../src/rpc/http2/frames.js';
import { NO_SECURITY } from '../../../src/rpc/security.js';
import { createRpcServer, listen } from '../../../src/rpc/server.js';
import { NIGHTLY } from '../../nightly.js';
import { randomOf } from '../../random.js';

const SEEDS = NIGHTLY ? 1000 : 20;
const PATH = '/test.Test/Pour';
const SETTINGS = encodeFrame({ type: FRAME.settings, flags: 0, stream: 0 }, Buffer.alloc(0));
const SETTINGS_ACK = encodeFrame({ type: FRAME.settings, flags: FLAG.ack, stream: 0 }, Buffer.alloc(0));
/** `:status: 200` by its index in HPACK's static table (RFC 7541, appendix A). */
const RESPONSE = encodeFrame({ type: FRAME.headers, flags: 0x4, stream: 1 }, Buffer.of(0x88));
/** Larger than any frame of the test, so that the end of the memory may cut a frame. */
const MEMORY_BYTES = 40_000;
const GUARD = 0xa5;

interface Frames {
  readonly bytes: Buffer;
  /** Payloads of the DATA frames of stream 1. */
  readonly data: Buffer;
}

/** Random frames, as from a broken or malicious peer; most are DATA of stream 1. */
function randomFrames(random: () => number): Frames {
  const below = (count: number) => Math.floor(random() * count);
  const noise = (count: number) => Buffer.from(Array.from({ length: count }, () => below(256)));
  const frames: Buffer[] = [];
  const data: Buffer[] = [];
  const numFrames = 1 + below(20);
  for (let i = 0; i < numFrames; i++) {
    const payload = noise(Math.floor(random() ** 4 * 20_000));
    if (random() < 0.6) {
      const padding = random() < 0.3 ? below(200) : 0;
      const flags = padding > 0 ? FLAG.padded : 0;
      const padded = Buffer.concat([Buffer.of(padding), payload, Buffer.alloc(padding)]);
      frames.push(encodeFrame({ type: FRAME.data, flags, stream: 1 }, padding > 0 ? padded : payload));
      data.push(payload);
    } else {
      // DATA of other streams, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION, unknown ones.
      const type = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0xfa][below(11)]!;
      const stream = type === FRAME.data ? 3 : below(3);
      const length = [payload.length, 0, 4, 5, 6, 8][below(6)]!;
      frames.push(encodeFrame({ type, flags: below(256), stream }, noise(length)));
    }
  }
  const bytes = Buffer.concat(frames);
  // The last frame may be cut off; of a DATA frame on stream 1 the received part counts.
  return {
    bytes: random() < 0.5 ? bytes : bytes.subarray(0, below(bytes.length)),
    data: Buffer.concat(data),
  };
}

/** Writes bytes in chunks of random length, then ends the connection. */
function trickle(socket: net.Socket, bytes: Buffer, random: () => number): void {
  for (let at = 0; at < bytes.length; ) {
    const count = 1 + Math.floor(random() ** 3 * 30_000);
    socket.write(bytes.subarray(at, at + count));
    at += count;
  }
  socket.end();
}

it(`a client takes what DATA frames say and nothing else, and ends, for ${SEEDS} of ${SEEDS} seeds`, async () => {
  let [direct, copied] = [0, 0];
  for (let seed = 0; seed < SEEDS; seed++) {
    const random = randomOf(seed);
    const { bytes, data } = randomFrames(random);
    const server = net.createServer((socket) => {
      socket.on('error', () => undefined).resume();
      trickle(socket, Buffer.concat([SETTINGS, SETTINGS_ACK, RESPONSE, bytes]), random);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const memory = Buffer.alloc(MEMORY_BYTES + 1, GUARD);
    const taken: Buffer[] = [];
    let at = 0;
    const room = (max: number) => memory.subarray(at, Math.min(at + max, MEMORY_BYTES));
    const call = new DirectCall({
      host: '127.0.0.1',
      port: (server.address() as net.AddressInfo).port,
      tls: null,
      path: PATH,
      metadata: {},
      maxFrameBytes: 1 << 20,
      receiver: {
        take: (chunk) => void taken.push(Buffer.from(chunk)),
        place: room,
        filled(count) {
          taken.push(Buffer.from(memory.subarray(at, at + count)));
          at += count;
        },
      },
    });
    call.stream.on('error', () => undefined).resume();
    await call.closed;
    server.close();
    const all = Buffer.concat(taken);
    expect(all.equals(data.subarray(0, all.length)), `seed ${seed}`).toBe(true);
    expect(memory[MEMORY_BYTES], `seed ${seed}`).toBe(GUARD);
    direct += at;
    copied += all.length - at;
  }
  expect(Math.min(direct, copied)).toBeGreaterThan(10_000);
});

it(`a server outlives a client that sends anything, for ${SEEDS} of ${SEEDS} seeds`, async () => {
  const rpc = createRpcServer();
  const { port } = await listen(rpc, { host: '127.0.0.1', port: 0 }, '--listen');
  onTestFinished(() => rpc.close());
  const opening = Buffer.concat([
    PREFACE,
    encodeFrame({ type: FRAME.settings, flags: 0, stream: 0 }, encodeSettings([{ id: 4, value: 1 << 20 }])),
  ]);
  for (let seed = 0; seed < SEEDS; seed++) {
    const random = randomOf(1000 + seed);
    const socket = net.connect(port, '127.0.0.1');
    socket.on('error', () => undefined).resume();
    trickle(socket, Buffer.concat([withName(opening, randomName()), randomFrames(random).bytes]), random);
    await new Promise((resolve) => socket.once('close', resolve));
  }
  await checkHealth(`127.0.0.1:${port}`, NO_SECURITY);
});

/** Connects a client that reads nothing to a server that gives its connections to `inject`. */
async function deafClient(inject: (connection: Duplex) => void, isNamed: boolean): Promise<net.Socket> {
  const { server } = directListener(inject, null);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1').pause();
  onTestFinished(() => {
    client.destroy();
    server.close();
  });
  const opening = Buffer.concat([PREFACE, SETTINGS]);
  client.on('error', () => undefined).write(isNamed ? withName(opening, randomName()) : opening);
  return client;
}

it('a session waits for a client that reads no answers, on a connection with a name', async () => {
  const connection = await new Promise<Duplex>((resolve) => void deafClient(resolve, true));
  connection.on('error', () => undefined);
  const answers = Buffer.alloc(10_000);
  let written = 0;
  for (let isSent = true; isSent && written < 1e8; written += answers.length)
    isSent = await Promise.race([
      new Promise<boolean>((resolve) => connection.write(answers, () => resolve(true))),
      sleep(500, false),
    ]);
  // The kernel buffers some megabytes for the client.
  expect(written).toBeLessThan(1e8);
});

it('a session cuts off a client that sends PINGs and reads no answers, with a name as early as without one', async () => {
  const pings = Buffer.concat(
    Array.from({ length: 500 }, () => encodeFrame({ type: 0x6, flags: 0, stream: 0 }, Buffer.alloc(8))),
  );
  const server = http2.createServer().on('session', (session) => session.on('error', () => undefined));
  const sentUntilCut = async (isNamed: boolean) => {
    const client = await deafClient((connection) => server.emit('connection', connection), isNamed);
    for (; !client.destroyed && client.bytesWritten < 1e7; await nextTurn())
      if (client.writableLength === 0) client.write(pings);
    return client.bytesWritten;
  };
  const sent = [await sentUntilCut(true), await sentUntilCut(false)];
  expect(Math.max(...sent)).toBeLessThan(2 * Math.min(...sent));
});
