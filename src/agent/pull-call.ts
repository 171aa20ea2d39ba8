import { Client, type ClientDuplexStream, type ServiceError, status } from '@grpc/grpc-js';
import { TrainerError } from '../errors.js';
import { type Address, parseAddress } from '../rpc/address.js';
import { decodeFrame } from '../rpc/frame-codec.js';
import type { Frame, PullRequestInput } from '../rpc/generated/messages.js';
import { type ByteReceiver, DirectCall } from '../rpc/http2/direct-client.js';
import { tokenMetadata } from '../rpc/join-token.js';
import { loadProto } from '../rpc/load-proto.js';
import { CLUSTER_NAME, type Security } from '../rpc/security.js';

/** HTTP/2 flow-control window of a stream of grpc-js; gRPC's default of 64 KiB costs two thirds of the throughput. */
export const FLOW_CONTROL_WINDOW_BYTES = 4 << 20;
/** Greatest DATA frame that a direct stream may be sent. */
const MAX_DATA_FRAME_BYTES = (1 << 20) + (1 << 16);

const { Pull } = loadProto('collectives', 'locmoe.collectives.v1.Collectives');

/** Decodes a status message of gRPC, which is percent-encoded; returns others unchanged. */
function decoded(message: string): string {
  try {
    return decodeURIComponent(message);
  } catch {
    return message;
  }
}

/** An open stream from another node. */
export interface PullCall {
  write(request: PullRequestInput): void;
  /** Asks the other side to end the stream. */
  end(): void;
  /** Breaks the stream. */
  cancel(): void;
  /** Resolves when the stream is over, whoever ended it; no bytes arrive after that. */
  readonly ended: Promise<void>;
}

export interface PullOptions {
  readonly address: string;
  readonly security: Security;
  readonly keepaliveMs: number;
  readonly timeoutMs: number;
  readonly open: PullRequestInput;
  /** Called at most once if the stream breaks after it was open. */
  readonly onLost: (details: string) => void;
}

/** The status of a call that ended before its stream was open. */
export type PullError = Pick<ServiceError, 'code' | 'details'>;

/**
 * Opens a stream over grpc-js; resolves once the other agent has accepted the call. Rejects with a PullError.
 *
 * @param onFrame breaks the stream before it throws
 */
export function pullByGrpc(
  { address, security, keepaliveMs, timeoutMs, open, onLost }: PullOptions,
  onFrame: (frame: Frame) => void,
): Promise<PullCall> {
  const { channelCredentials, clientOptions } = security;
  const client = new Client(address, channelCredentials, {
    ...clientOptions,
    'grpc-node.flow_control_window': FLOW_CONTROL_WINDOW_BYTES,
    'grpc.keepalive_time_ms': keepaliveMs,
    'grpc.keepalive_timeout_ms': keepaliveMs,
  });
  const call: ClientDuplexStream<PullRequestInput, Frame> = client.makeBidiStreamRequest(
    Pull.path,
    Pull.requestSerialize,
    decodeFrame,
  );
  const ended = new Promise<void>((resolve) =>
    call.once('status', () => {
      client.close();
      resolve();
    }),
  );
  call.write(open);
  return new Promise((resolve, reject) => {
    let isOpen = false;
    const timer = setTimeout(() => call.cancel(), timeoutMs);
    call.once('metadata', () => {
      clearTimeout(timer);
      isOpen = true;
      resolve({
        write: (request) => call.write(request),
        end: () => call.end(),
        cancel: () => call.cancel(),
        ended,
      });
    });
    call.on('data', onFrame);
    call.on('error', (error: ServiceError) => {
      clearTimeout(timer);
      if (isOpen) onLost(error.details);
      else {
        client.close();
        reject(error);
      }
    });
  });
}

/** Opens a direct stream, whose bytes go to `receiver`; otherwise like `pullByGrpc`. */
export function pullDirectly(options: PullOptions, receiver: ByteReceiver): Promise<PullCall> {
  const { address, security, keepaliveMs, timeoutMs, open, onLost } = options;
  const { host, port }: Address = parseAddress('data address', address);
  const { tls } = security;
  const direct = new DirectCall({
    host,
    port,
    tls: tls && { ca: tls.ca, cert: tls.cert, key: tls.key, servername: CLUSTER_NAME, minVersion: 'TLSv1.3' },
    path: Pull.path,
    metadata: tokenMetadata(security.token),
    maxFrameBytes: MAX_DATA_FRAME_BYTES,
    receiver,
  });
  const { stream, session } = direct;
  direct.write(Pull.requestSerialize(open));
  return new Promise((resolve, reject) => {
    let isOpen = false;
    let outcome: PullError | null = null;
    const take = (headers: Readonly<Record<string, unknown>>) => {
      const code = headers['grpc-status'];
      if (code !== undefined)
        outcome = { code: Number(code), details: decoded(String(headers['grpc-message'] ?? '')) };
    };
    const timer = setTimeout(
      () => direct.destroy(new Error(`no answer within ${Math.round(timeoutMs)} ms`)),
      timeoutMs,
    );
    let late: NodeJS.Timeout | undefined;
    const pings = setInterval(() => {
      late = setTimeout(() => direct.destroy(new Error('no answer to a ping')), keepaliveMs);
      session.ping(() => clearTimeout(late));
    }, keepaliveMs);
    let failure: Error | null = null;
    for (const each of [stream, session]) each.on('error', (error: Error) => (failure ??= error));
    const ended = new Promise<void>((over) => {
      stream.once('close', () => {
        clearTimeout(timer);
        clearInterval(pings);
        clearTimeout(late);
        direct.destroy();
        void direct.closed.then(over);
        const error = outcome ?? {
          code: status.UNAVAILABLE,
          details: failure?.message ?? 'the connection was closed',
        };
        if (!isOpen) reject(error);
        else if (error.code !== status.OK) onLost(error.details);
      });
    });
    stream.once('response', (headers) => {
      take(headers);
      if (outcome !== null) {
        // The call was refused; our side of it is still open, and nobody else closes it.
        direct.destroy();
        return;
      }
      if (headers[':status'] !== 200) {
        direct.destroy(new Error(`HTTP status ${headers[':status']}`));
        return;
      }
      clearTimeout(timer);
      isOpen = true;
      resolve({
        write: (request) => direct.write(Pull.requestSerialize(request)),
        end: () => stream.end(),
        cancel: () => direct.destroy(),
        ended,
      });
    });
    stream.once('trailers', (headers) => {
      take(headers);
      direct.destroy();
    });
    // The stream has no data to read, but must be read to end.
    stream.resume();
  });
}

/**
 * A receiver that reports violations of the protocol to `onError`; all its errors break the stream. `close`
 * waits for open calls only: a call that is not open has no memory that a socket could write to, and its
 * bytes are refused after the close.
 */
export function guardedReceiver(
  receiver: ByteReceiver,
  call: {
    readonly isOpen: () => boolean;
    readonly isClosed: () => boolean;
    readonly onError: (error: unknown) => void;
  },
): ByteReceiver {
  return {
    place: (max) => (call.isOpen() ? receiver.place(max) : null),
    filled: (bytes) => receiver.filled(bytes),
    take(bytes) {
      if (call.isClosed() && !call.isOpen()) throw new Error('the node is closing');
      try {
        receiver.take(bytes);
      } catch (error) {
        if (error instanceof TrainerError && error.code === 'BAD_MESSAGE') call.onError(error);
        throw error;
      }
    },
  };
}
