import { status } from '@grpc/grpc-js';
import { parseAddress } from '../../rpc/address.js';
import type { PullRequestInput } from '../../rpc/generated/messages.js';
import { DirectCall } from '../../rpc/http2/direct-client.js';
import type { DirectConnection } from '../../rpc/http2/direct-server.js';
import { tokenMetadata } from '../../rpc/join-token.js';
import { loadProto } from '../../rpc/load-proto.js';
import { clientTls } from '../../rpc/security.js';
import type { FrameSender, PeerTransport, PullError, ServedCall } from './peer-transport.js';

/** Greatest DATA frame that a direct stream may be sent. */
const MAX_DATA_FRAME_BYTES = (1 << 20) + (1 << 16);
/** Interval between two checks whether the kernel has taken the last bytes of a stream. */
const DRAIN_POLL_MS = 5;

const { Pull } = loadProto('collectives', 'locmoe.collectives.v1.Collectives');

/** Decodes a percent-encoded status message of gRPC; any other text stays unchanged. */
function decoded(message: string): string {
  try {
    return decodeURIComponent(message);
  } catch {
    return message;
  }
}

/** Opens a stream from any gRPC server; the socket reads payload directly into the receiver's memory. */
export const pullDirectly: PeerTransport['pull'] = (options, receiver) => {
  const { address, security, keepaliveMs, timeoutMs, open } = options;
  const direct = new DirectCall({
    ...parseAddress('data address', address),
    tls: security.tls && clientTls(security.tls),
    path: Pull.path,
    metadata: tokenMetadata(security.token),
    maxFrameBytes: MAX_DATA_FRAME_BYTES,
    receiver,
  });
  const { stream, session } = direct;
  direct.write(Pull.requestSerialize(open));
  return new Promise((resolve, reject) => {
    let outcome: PullError | null = null;
    const take = (headers: Readonly<Record<string, unknown>>) => {
      const code = headers['grpc-status'];
      if (code !== undefined)
        outcome = { code: Number(code), details: decoded(String(headers['grpc-message'] ?? '')) };
    };
    const cancel = (why: string) => direct.destroy(new Error(why));
    const timer = setTimeout(cancel, timeoutMs, `no answer within ${Math.round(timeoutMs)} ms`);
    let late: NodeJS.Timeout | undefined;
    const pings = setInterval(() => {
      late = setTimeout(cancel, keepaliveMs, 'no answer to a ping');
      session.ping(() => clearTimeout(late));
    }, keepaliveMs);
    let failure: Error | null = null;
    for (const each of [stream, session]) each.on('error', (error: Error) => (failure ??= error));
    const ended = new Promise<string | null>((over) => {
      stream.once('close', () => {
        clearTimeout(timer);
        clearInterval(pings);
        clearTimeout(late);
        direct.destroy();
        const { code, details } = outcome ?? {
          code: status.UNAVAILABLE,
          details: failure?.message ?? 'the connection was closed',
        };
        reject({ code, details });
        void direct.closed.then(() => over(code === status.OK ? null : details));
      });
    });
    stream.once('response', (headers) => {
      take(headers);
      // After a refusal, this side of the call is still open, and nothing else would close it.
      if (outcome !== null) direct.destroy();
      else if (headers[':status'] !== 200) cancel(`HTTP status ${headers[':status']}`);
      else {
        clearTimeout(timer);
        const write = (request: PullRequestInput) => direct.write(Pull.requestSerialize(request));
        resolve({ write, end: () => stream.end(), cancel, ended });
      }
    });
    stream.once('trailers', (headers) => {
      take(headers);
      direct.destroy();
    });
    // This stream carries no data, but without a reader it would not end.
    stream.resume();
  });
};

/** Sends frames without copying their parts, on the connection that the client of the call has named. */
export function serveDirectly(call: ServedCall, connection: DirectConnection): FrameSender {
  return {
    send: (parts, done) => connection.send(parts, done),
    get isDrained() {
      return connection.isDrained;
    },
    async close(timeoutMs) {
      const deadline = performance.now() + timeoutMs;
      while (!connection.isDrained && performance.now() < deadline)
        await new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS));
      call.end();
      await connection.close(deadline - performance.now());
    },
  };
}
