import http2 from 'node:http2';
import net from 'node:net';
import { Duplex } from 'node:stream';
import * as grpc from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { NAME_HEADER, randomName, readOpening, withName } from '../../../src/rpc/http2/connection-name.js';
import { DirectCall } from '../../../src/rpc/http2/direct-client.js';
import { directListener, type FindDirect } from '../../../src/rpc/http2/direct-server.js';
import {
  encodeFrame,
  encodeSettings,
  FRAME,
  messagePrefix,
  openingBytes,
  PREFACE,
} from '../../../src/rpc/http2/frames.js';
import {
  clientTls,
  loadSecurity,
  NO_SECURITY,
  type Security,
  tlsOptions,
} from '../../../src/rpc/security.js';
import { certificateFolder } from '../certificate-folder.js';

const PATH = '/test.Test/Pour';
const raw = (bytes: Buffer) => bytes;
const METHOD = {
  path: PATH,
  requestStream: true,
  responseStream: true,
  requestSerialize: raw,
  requestDeserialize: raw,
  responseSerialize: raw,
  responseDeserialize: raw,
} as const;

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0).reverse()) end();
});

type Serve = (call: grpc.ServerDuplexStream<Buffer, Buffer>, find: FindDirect) => void;

/** A server of gRPC that accepts direct streams. */
async function listen(serve: Serve, security: Security = NO_SECURITY): Promise<number> {
  const server = new grpc.Server();
  const injector = server.createConnectionInjector(grpc.ServerCredentials.createInsecure());
  const { server: listener, find } = directListener(
    (connection) => injector.injectConnection(connection),
    tlsOptions(security),
  );
  server.addService(
    { Pour: METHOD },
    { Pour: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => serve(call, find) },
  );
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  ends.push(() => {
    listener.close();
    server.forceShutdown();
  });
  return (listener.address() as net.AddressInfo).port;
}

const messagesOf = (count: number, bytes: number) =>
  Array.from({ length: count }, (_, i) =>
    Buffer.from(Array.from({ length: bytes }, (__, j) => (7 * i + j) & 255)),
  );

/** Messages as gRPC frames them. */
const framed = (messages: readonly Buffer[]) =>
  Buffer.concat(messages.flatMap((message) => [messagePrefix(message.length), message]));

interface Poured {
  readonly bytes: Buffer;
  readonly code: number;
}

/** Reads a call to its end into a separate memory, directly as long as the call asks for it. */
function pour(port: number, size: number, { tls }: Security = NO_SECURITY): Promise<Poured> {
  const memory = Buffer.alloc(size + 1);
  let at = 0;
  const call = new DirectCall({
    host: '127.0.0.1',
    port,
    tls: tls && clientTls(tls),
    path: PATH,
    metadata: {},
    maxFrameBytes: 1 << 20,
    receiver: {
      take(bytes) {
        at += bytes.copy(memory, at);
      },
      place: (max) => memory.subarray(at, at + max),
      filled: (bytes) => {
        at += bytes;
      },
    },
  });
  ends.push(() => call.destroy());
  call.write(Buffer.from('begin'));
  call.stream.resume();
  return new Promise((resolve, reject) => {
    call.stream.on('error', reject).once('close', () => reject(new Error('closed without a status')));
    call.stream.once('trailers', (trailers) =>
      resolve({ bytes: memory.subarray(0, at), code: Number(trailers['grpc-status']) }),
    );
  });
}

/** A connection whose client's SETTINGS get a name. */
function namedConnection(port: number, name: string): Duplex {
  const socket = net.connect(port, '127.0.0.1');
  ends.push(() => socket.destroy());
  let opening: Buffer | null = Buffer.alloc(0);
  const duplex = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _, done) => {
      if (opening === null) socket.write(chunk);
      else {
        opening = Buffer.concat([opening, chunk]);
        const length = openingBytes(opening);
        if (length !== null && opening.length >= length) {
          socket.write(
            Buffer.concat([withName(opening.subarray(0, length), name), opening.subarray(length)]),
          );
          opening = null;
        }
      }
      done();
    },
  });
  socket.on('data', (chunk) => duplex.push(chunk)).on('error', () => undefined);
  return duplex;
}

/** Serves by the connection's `send`, from memory that is overwritten as soon as `send` is done. */
function direct(messages: readonly Buffer[]): Serve {
  return (call, find) => {
    call.once('data', () => {
      const connection = find(String(call.metadata.get(NAME_HEADER)[0]))!;
      call.sendMetadata(new grpc.Metadata());
      let left = messages.length;
      for (const message of messages) {
        const memory = Buffer.from(message);
        const middle = message.length >> 1;
        connection.send([memory.subarray(0, middle), memory.subarray(middle)], () => {
          memory.fill(255);
          if (--left === 0) call.end();
        });
      }
    });
  };
}

describe('a direct call', () => {
  const messages = [...messagesOf(20, 100_000), ...messagesOf(50, 3), ...messagesOf(3, 3_000_000)];
  const expected = framed(messages);

  it('gets the messages that its server writes beside its session, and its status', async () => {
    const port = await listen(direct(messages));
    const { bytes, code } = await pour(port, expected.length);
    expect(code).toBe(0);
    expect(bytes.equals(expected)).toBe(true);
  });

  it('gets them encrypted', async () => {
    const security = loadSecurity({ tls: await certificateFolder() });
    const port = await listen(direct(messages), security);
    const { bytes, code } = await pour(port, expected.length, security);
    expect(code).toBe(0);
    expect(bytes.equals(expected)).toBe(true);
    await expect(pour(port, expected.length)).rejects.toThrow();
  });

  it('gets those of a server that knows nothing of it', async () => {
    const server = new grpc.Server();
    server.addService(
      { Pour: METHOD },
      {
        Pour: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
          call.once('data', () => {
            for (const message of messages) call.write(message);
            call.end();
          });
        },
      },
    );
    const port = await new Promise<number>((resolve) => {
      server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (_, bound) => resolve(bound));
    });
    ends.push(() => server.forceShutdown());
    const { bytes, code } = await pour(port, expected.length);
    expect(code).toBe(0);
    expect(bytes.equals(expected)).toBe(true);
  });

  it('is not what a client of grpc-js gets from the same server', async () => {
    const port = await listen((call, find) => {
      expect(find(String(call.metadata.get(NAME_HEADER)[0]))).toBeUndefined();
      call.once('data', () => {
        for (const message of messages) call.write(message);
        call.end();
      });
    });
    const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure());
    ends.push(() => client.close());
    const call = client.makeBidiStreamRequest(PATH, raw, raw);
    call.write(Buffer.from('begin'));
    const got: Buffer[] = [];
    for await (const message of call) got.push(message);
    expect(framed(got).equals(expected)).toBe(true);
  });

  it('sends no more than the windows of its client hold', async () => {
    const few = messagesOf(5, 50_000);
    const port = await listen(direct(few));
    // A client whose windows are small, and which names its connection by hand.
    const name = randomName();
    const session = http2.connect(`http://127.0.0.1:${port}`, {
      settings: { initialWindowSize: 1000 },
      createConnection: () => namedConnection(port, name),
    });
    ends.push(() => session.destroy());
    const stream = session.request({
      ':method': 'POST',
      ':path': PATH,
      te: 'trailers',
      'content-type': 'application/grpc',
      [NAME_HEADER]: name,
    });
    stream.write(framed([Buffer.from('begin')]));
    const got: Buffer[] = [];
    for await (const chunk of stream) got.push(chunk);
    expect(Buffer.concat(got).equals(framed(few))).toBe(true);
  });
});

describe('the first bytes of a connection', () => {
  const settings = encodeFrame(
    { type: FRAME.settings, flags: 0, stream: 0 },
    encodeSettings([{ id: 3, value: 9 }]),
  );
  const opening = Buffer.concat([PREFACE, settings]);

  it('have the name that they were given, once they are all there', () => {
    const name = randomName();
    const named = withName(opening, name);
    for (let length = 0; length < named.length; length++)
      expect(readOpening(named.subarray(0, length))).toBeNull();
    expect(readOpening(Buffer.concat([named, Buffer.alloc(9)]))).toMatchObject({ name });
  });

  it.each([
    ['HTTP/2 without one', opening],
    ['HTTP/1.1', Buffer.from('GET / HTTP/1.1\r\n')],
    ['a greeting of TLS', Buffer.from([0x16, 3, 1, 2, 0])],
    [
      'another frame than SETTINGS',
      Buffer.concat([PREFACE, encodeFrame({ type: 1, flags: 0, stream: 0 }, Buffer.alloc(4))]),
    ],
    [
      'SETTINGS longer than allowed',
      Buffer.concat([PREFACE, Buffer.from([255, 255, 255, 4, 0, 0, 0, 0, 0])]),
    ],
  ])('have no name: %s', (_, bytes) => {
    expect(readOpening(bytes)).toMatchObject({ name: null });
  });
});
