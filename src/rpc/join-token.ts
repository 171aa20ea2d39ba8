import { createHash, timingSafeEqual } from 'node:crypto';
import * as grpc from '@grpc/grpc-js';

// The join token proves that a caller belongs to the cluster. It is metadata of every call, on both planes.

const HEADER = 'authorization';
const SCHEME = 'Bearer ';
/** This service is exempt: container engines check health without the token, and the answer reveals nothing. */
const HEALTH_SERVICE = '/grpc.health.v1.Health/';

/** Metadata of a call without grpc-js; null is for no token. */
export function tokenMetadata(token: string | null): Readonly<Record<string, string>> {
  return token === null ? {} : { [HEADER]: SCHEME + token };
}

/** Creates a client interceptor that adds the token to each call. */
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
 * Creates a server interceptor that checks the token of every method, in constant time.
 *
 * @param expectedToken called for each call; null admits every caller
 * @param onRefused gets the call, its method and its metadata, of which it must not tell the token
 */
export function requireToken(
  expectedToken: () => string | null,
  onRefused: (call: grpc.ServerInterceptingCallInterface, method: string, metadata: grpc.Metadata) => void,
): grpc.ServerInterceptor {
  return ({ path }, call) => {
    const token = expectedToken();
    if (token === null || path.startsWith(HEALTH_SERVICE)) return new grpc.ServerInterceptingCall(call);
    const expected = digest(SCHEME + token);
    return new grpc.ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata(metadata, pass) {
            const [sent] = metadata.get(HEADER);
            if (sent !== undefined && timingSafeEqual(digest(String(sent)), expected)) {
              pass(metadata);
              return;
            }
            onRefused(call, path, metadata);
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
