import { once } from 'node:events';
import { endProgram, forkProgram, programBeside } from '@locmoe/test-kit';
import { FLOW_CONTROL_WINDOW_BYTES } from 'locmoe/internal/agent/peer-streams';
import { TrainerError } from 'locmoe/internal/errors';
import { collectSeldom } from 'locmoe/internal/garbage-collection';
import { type StreamName, type StreamRow, spreadOf } from './measurements.js';
import { PieceClock } from './stream-bytes.js';
import { grpcSink, http2Sink, type OpenSink, tcpSink } from './stream-sinks.js';
import type { SourceKind } from './stream-source.program.js';

/** Larger than the caches, small enough for many repetitions. */
const PIECE_BYTES = 32 << 20;
const WARM_UPS = 3;
const DEADLINE_MS = 60_000;

const WAYS: Readonly<
  Record<Exclude<StreamName, 'memcpy'>, { readonly source: SourceKind; readonly open: OpenSink }>
> = {
  tcp: { source: 'tcp', open: tcpSink },
  'http2-4': { source: 'http2', open: http2Sink(FLOW_CONTROL_WINDOW_BYTES) },
  'http2-16': { source: 'http2', open: http2Sink(16 << 20) },
  grpc: { source: 'grpc', open: grpcSink },
};

export interface StreamOptions {
  readonly pieces: number;
  readonly signal: AbortSignal;
}

/**
 * Throughput of one stream in one direction between two processes on the loopback (TCP socket, HTTP/2 with
 * two window sizes, our stream between agents), or of a memory copy in one process, which bounds them all.
 *
 * @throws TrainerError `INTERNAL` if bytes arrive wrong, the stream breaks or the deadline passes
 */
export async function measureStream(what: StreamName, options: StreamOptions): Promise<StreamRow> {
  options.signal.throwIfAborted();
  // Same collector settings as our streams, on both sides, so that garbage collection does not slow the
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
  const child = forkProgram(programBeside(import.meta.url, 'stream-source.program'));
  const until = AbortSignal.any([signal, AbortSignal.timeout(DEADLINE_MS)]);
  let close: ReturnType<OpenSink> | undefined;
  try {
    child.send(source, () => undefined);
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
      close = open(port, { take, fail });
    });
  } finally {
    await close?.();
    await endProgram(child);
  }
}
