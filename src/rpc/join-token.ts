import { createHash, timingSafeEqual } from 'node:crypto';
import * as grpc from '@grpc/grpc-js';

// The join token says that a caller belongs to the cluster. It travels as metadata of every call, on both planes.

const HEADER = 'authorization';
const SCHEME = 'Bearer ';
/** Container engines ask for the health without knowing the token; the answer gives nothing away. */
const HEALTH_SERVICE = '/grpc.health.v1.Health/';

/** A client's side: adds the token to each call. */
export function sendToken(token: string): grpc.Interceptor {
  return (options, nextCall) =>
    new grpc.InterceptingCall(nextCall(options), {
      start(metadata, listener, next) {
        metadata.set(HEADER, SCHEME + token);
        next(metadata, listener);
      },
    });
}

/**
 * A server's side: stands before all methods, so that none can forget it, and compares in constant time.
 *
 * @param onRefused told of the caller's address and the method; never of what was sent
 */
export function requireToken(
  token: string,
  onRefused: (peer: string, method: string) => void,
): grpc.ServerInterceptor {
  const expected = digest(SCHEME + token);
  return ({ path }, call) => {
    if (path.startsWith(HEALTH_SERVICE)) return new grpc.ServerInterceptingCall(call);
    return new grpc.ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata(metadata, pass) {
            const [sent] = metadata.get(HEADER);
            if (sent !== undefined && timingSafeEqual(digest(String(sent)), expected)) {
              pass(metadata);
              return;
            }
            onRefused(call.getPeer(), path);
            call.sendStatus({
              code: grpc.status.UNAUTHENTICATED,
              details:
                sent === undefined
                  ? 'none was given; pass --token-file FILE or set LOCMOE_TOKEN_FILE'
                  : 'it is not the token of this cluster',
            });
          },
        }),
    });
  };
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
