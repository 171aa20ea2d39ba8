// Sender of a measured stream, in its own process. Started by measure-streams.ts.
import { createServer as createHttp2Server } from 'node:http2';
import { type AddressInfo, createServer, type Server as NetServer } from 'node:net';
import { PeerStreams } from 'locmoe/internal/agent/peer-streams';
import type { SendFrame } from 'locmoe/internal/agent/transport/peer-transport';
import { selectTransport } from 'locmoe/internal/agent/transport/select-transport';
import { collectSeldom } from 'locmoe/internal/garbage-collection';
import { encodeHead } from 'locmoe/internal/rpc/frame-codec';
import { loadSecurity, type SecurityOptions } from 'locmoe/internal/rpc/security';
import { createRpcServer, listen } from 'locmoe/internal/rpc/server';
import { CHUNK_BYTES, pourInto, STREAM_RUN, streamChunk } from './stream-bytes.js';

export type SourceKind = 'tcp' | 'http2' | 'grpc';

export interface SourceOrder {
  readonly kind: SourceKind;
  /** Security of gRPC streams; the other kinds have none. */
  readonly security: SecurityOptions;
}

const START: Readonly<Record<SourceKind, (security: SecurityOptions) => Promise<number>>> = {
  tcp: () => portOf(createServer(pourInto)),
  http2: () => {
    const server = createHttp2Server();
    server.on('stream', (stream) => {
      stream.respond({ ':status': 200 });
      pourInto(stream);
    });
    // The receiver closes the connection once it has enough bytes.
    server.on('sessionError', () => undefined);
    return portOf(server);
  },
  grpc: startGrpc,
};

collectSeldom();
process.on('disconnect', () => process.exit());
// The parent may have ended while this program was loaded.
if (!process.connected) process.exit();
process.once('message', ({ kind, security }: SourceOrder) => {
  void START[kind](security).then((port) => process.send?.(port));
});

function portOf(server: NetServer): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}

/** Starts a simulated relay of an agent, which sends no more than credit allows. */
async function startGrpc(options: SecurityOptions): Promise<number> {
  const security = loadSecurity(options);
  const rpc = createRpcServer(security);
  const { port } = await listen(rpc, { host: '127.0.0.1', port: 0 }, '--listen');
  const chunk = streamChunk();
  let [sent, consumed] = [0, 0];
  let send: SendFrame | null = null;
  const pour = () => {
    while (send !== null && ((sent - consumed) >>> 0) + CHUNK_BYTES <= STREAM_RUN.ringBytes) {
      const head = encodeHead(STREAM_RUN.generation, 1, [1, 0, sent, CHUNK_BYTES], CHUNK_BYTES);
      sent = (sent + CHUNK_BYTES) >>> 0;
      send([head, chunk], () => undefined);
    }
  };
  new PeerStreams({
    ...STREAM_RUN,
    node: 1,
    server: rpc.server,
    security,
    transport: selectTransport({ findDirect: rpc.findDirect }),
    onPull: (_node, write) => {
      send = write;
      pour();
    },
    receiver: () => ({ take: () => undefined, place: () => null, filled: () => undefined }),
    onCredit: (_node, [, , position]) => {
      consumed = position!;
      pour();
    },
    onError: () => process.exit(1),
  });
  return port;
}
