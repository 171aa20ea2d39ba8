import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect as connectHttp2 } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Server } from '@grpc/grpc-js';
import { endProgram, forkProgram, programBeside } from '@locmoe/test-kit';
import { FrameReceiver } from 'locmoe/internal/agent/frame-receiver';
import { PeerStreams } from 'locmoe/internal/agent/peer-streams';
import { FLOW_CONTROL_WINDOW_BYTES } from 'locmoe/internal/agent/transport/grpc-transport';
import { selectTransport } from 'locmoe/internal/agent/transport/select-transport';
import { ByteRing, RING_CONTROL_WORDS } from 'locmoe/internal/collectives/byte-ring';
import { TrainerError } from 'locmoe/internal/errors';
import { collectSeldom } from 'locmoe/internal/garbage-collection';
import { makeCertificates } from 'locmoe/internal/rpc/certificates';
import { loadSecurity, type SecurityOptions } from 'locmoe/internal/rpc/security';
import { type StreamName, type StreamRow, spreadOf } from './measurements.js';
import { CHUNK_BYTES, PieceClock, STREAM_RUN } from './stream-bytes.js';
import type { SourceKind, SourceOrder } from './stream-source.program.js';

/** Larger than the caches, small enough for many repetitions. */
const PIECE_BYTES = 32 << 20;
const WARM_UPS = 3;
const DEADLINE_MS = 60_000;

const CONNECT_MS = 10_000;

/** Receives the bytes of a stream. */
interface Sink {
  readonly take: (chunk: Uint8Array) => void;
  readonly fail: (error: Error) => void;
}

/** Opens the receiving end of a stream on the loopback; returns a function that closes it. */
type OpenSink = (port: number, sink: Sink, security: SecurityOptions) => () => Promise<void> | void;

const tcpSink: OpenSink = (port, { take, fail }) => {
  const socket = connectTcp(port, '127.0.0.1');
  socket.on('data', take).on('error', fail);
  return () => {
    socket.destroy();
  };
};

const onreadSink: OpenSink = (port, { take, fail }) => {
  const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  const callback = (count: number) => {
    take(buffer.subarray(0, count));
    return true;
  };
  const socket = connectTcp({ port, host: '127.0.0.1', onread: { buffer, callback } });
  socket.on('error', fail);
  return () => {
    socket.destroy();
  };
};

/** @param windowBytes flow control window of the stream and of the connection */
function http2Sink(windowBytes: number): OpenSink {
  return (port, { take, fail }) => {
    const session = connectHttp2(`http://127.0.0.1:${port}`, {
      settings: { initialWindowSize: windowBytes },
    });
    session.on('connect', () => session.setLocalWindowSize(windowBytes)).on('error', fail);
    session.request().on('data', take).on('error', fail);
    return () => session.destroy();
  };
}

/**
 * Acts as the receiving agent: writes the frames to a ring, and returns credit for each quarter of the ring.
 */
const grpcSink: OpenSink = (port, { take, fail }, security) => {
  const { ringBytes } = STREAM_RUN;
  const ring = new ByteRing(new Int32Array(RING_CONTROL_WORDS), new Uint8Array(ringBytes), 0, 0, ringBytes);
  const read = () => {
    for (const piece of ring.pieces(0, ring.readable)) take(piece);
    ring.release(ring.readable);
    ring.setWantsData(true);
    if (ring.uncredited >= ringBytes / 4) streams.credit(1, [1, 0, ring.takeCredit()]);
  };
  ring.setWantsData(true);
  const streams = new PeerStreams({
    ...STREAM_RUN,
    node: 0,
    server: new Server(),
    security: loadSecurity(security),
    transport: selectTransport({}),
    onPull: () => undefined,
    receiver: () =>
      new FrameReceiver(({ payloadBytes }) => [{ ring, consumer: { ring: read }, left: payloadBytes }]),
    onCredit: () => undefined,
    onError: fail,
  });
  streams.connect([{ node: 1, address: `127.0.0.1:${port}` }], CONNECT_MS).catch(fail);
  return () => streams.close();
};

const WAYS: Readonly<
  Record<Exclude<StreamName, 'memcpy'>, { readonly source: SourceKind; readonly open: OpenSink }>
> = {
  tcp: { source: 'tcp', open: tcpSink },
  'tcp-onread': { source: 'tcp', open: onreadSink },
  'http2-4': { source: 'http2', open: http2Sink(FLOW_CONTROL_WINDOW_BYTES) },
  'http2-16': { source: 'http2', open: http2Sink(16 << 20) },
  grpc: { source: 'grpc', open: grpcSink },
  'grpc-tls': { source: 'grpc', open: grpcSink },
};

interface StreamOptions {
  readonly pieces: number;
  readonly signal: AbortSignal;
}

/**
 * Measures the throughput of one stream in one direction between two processes on the loopback (TCP socket,
 * HTTP/2 with two window sizes, our stream between agents, plain and over TLS), or of a memory copy in one
 * process, which is the upper bound of all.
 *
 * @throws TrainerError `INTERNAL` if bytes arrive wrong, the stream breaks or the deadline passes
 */
export async function measureStream(what: StreamName, options: StreamOptions): Promise<StreamRow> {
  options.signal.throwIfAborted();
  // Both sides have the collector settings of our streams, so that garbage collection does not slow the
  // reference.
  collectSeldom();
  const ms = what === 'memcpy' ? copyTimes(options.pieces) : await streamTimes(what, options);
  const mbPerS = spreadOf(ms.map((each) => PIECE_BYTES / each / 1000));
  return { what, mbPerS, repetitions: ms.length };
}

function copyTimes(pieces: number): number[] {
  const [from, to] = [Buffer.alloc(PIECE_BYTES, 1), Buffer.alloc(PIECE_BYTES)];
  const times = Array.from({ length: WARM_UPS + pieces }, () => {
    const started = performance.now();
    to.set(from);
    return performance.now() - started;
  });
  return times.slice(WARM_UPS);
}

async function streamTimes(
  what: Exclude<StreamName, 'memcpy'>,
  { pieces, signal }: StreamOptions,
): Promise<readonly number[]> {
  const { source, open } = WAYS[what];
  const certificates = mkdtempSync(path.join(tmpdir(), 'locmoe-stream-'));
  const child = forkProgram(programBeside(import.meta.url, 'stream-source.program'));
  const until = AbortSignal.any([signal, AbortSignal.timeout(DEADLINE_MS)]);
  let close: ReturnType<OpenSink> | undefined;
  try {
    if (what === 'grpc-tls') await makeCertificates(certificates, 1);
    const security = what === 'grpc-tls' ? { tls: certificates } : {};
    const order: SourceOrder = { kind: source, security };
    child.send(order, () => undefined);
    const [port] = await once(child, 'message', { signal: until });
    return await new Promise<readonly number[]>((resolve, reject) => {
      const fail = (error: unknown) => reject(new TrainerError('INTERNAL', `stream ${what}: ${error}`));
      until.addEventListener('abort', () => fail(until.reason));
      child.once('exit', () => fail('its sender ended'));
      const clock = new PieceClock(PIECE_BYTES, WARM_UPS, pieces, () => resolve(clock.ms));
      const take = (chunk: Uint8Array) => {
        try {
          clock.take(chunk);
        } catch (error) {
          fail(error);
        }
      };
      close = open(port, { take, fail }, security);
    });
  } finally {
    await close?.();
    await endProgram(child);
    rmSync(certificates, { recursive: true, force: true });
  }
}
