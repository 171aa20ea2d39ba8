// Sender of a measured stream, in its own process. Started by measure-streams.ts.
import { createServer as createHttp2Server } from 'node:http2';
import { type AddressInfo, createServer, type Server as NetServer } from 'node:net';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { PeerStreams } from 'locmoe/internal/agent/peer-streams';
import { collectSeldom } from 'locmoe/internal/garbage-collection';
import { openFrame } from 'locmoe/internal/rpc/frame-codec';
import { NO_SECURITY } from 'locmoe/internal/rpc/security';
import { CHUNK_BYTES, pourInto, STREAM_RUN, streamChunk } from './stream-bytes.js';

export type SourceKind = 'tcp' | 'http2' | 'grpc';

const START: Readonly<Record<SourceKind, () => Promise<number>>> = {
  tcp: () => listen(createServer(pourInto)),
  http2: () => {
    const server = createHttp2Server();
    server.on('stream', (stream) => {
      stream.respond({ ':status': 200 });
      pourInto(stream);
    });
    // The receiver closes the connection once it has enough.
    server.on('sessionError', () => undefined);
    return listen(server);
  },
  grpc: startGrpc,
};

collectSeldom();
process.on('disconnect', () => process.exit());
// The parent may have ended while this program was loaded.
if (!process.connected) process.exit();
process.once('message', (kind: SourceKind) => {
  void START[kind]().then((port) => process.send?.(port));
});

function listen(server: NetServer): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}

/** The relay of an agent, simulated: fills each frame by copying, and sends no more than credit allows. */
function startGrpc(): Promise<number> {
  const server = new Server();
  const chunk = streamChunk();
  let [sent, consumed] = [0, 0];
  let send: ((encoded: Buffer) => void) | null = null;
  const pour = () => {
    while (send !== null && ((sent - consumed) >>> 0) + CHUNK_BYTES <= STREAM_RUN.ringBytes) {
      const frame = openFrame(STREAM_RUN.generation, 1, [1, 0, sent, CHUNK_BYTES], CHUNK_BYTES);
      frame.payload.set(chunk);
      sent = (sent + CHUNK_BYTES) >>> 0;
      send(frame.encoded);
    }
  };
  new PeerStreams({
    ...STREAM_RUN,
    node: 1,
    server,
    security: NO_SECURITY,
    onPull: (_node, write) => {
      send = write;
      pour();
    },
    onFrame: () => undefined,
    onCredit: (_node, [, , position]) => {
      consumed = position!;
      pour();
    },
    onError: () => process.exit(1),
  });
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
      error ? reject(error) : resolve(port),
    );
  });
}
