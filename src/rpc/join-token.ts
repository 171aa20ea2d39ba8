import { createHash, timingSafeEqual } from 'node:crypto';
import * as grpc from '@grpc/grpc-js';

// The join token proves that a caller belongs to the cluster. It is metadata of every call, on both planes.

const HEADER = 'authorization';
const SCHEME = 'Bearer ';
/** This service is exempt: container engines check health without the token, and the answer reveals nothing. */
const HEALTH_SERVICE = '/grpc.health.v1.Health/';

/** Returns the metadata of a call without grpc-js; null stands for no token. */
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

type Heard = (call: grpc.ServerInterceptingCallInterface, metadata: grpc.Metadata, method: string) => void;

/**
 * Creates a server interceptor that checks the token of every method, in constant time.
 *
 * @param expectedToken called for each call; null admits every caller
 * @param heard called for each call but those of health; must not reveal the token in the metadata
 */
export function requireToken(
  expectedToken: () => string | null,
  heard: { readonly accepted: Heard; readonly refused: Heard },
): grpc.ServerInterceptor {
  return ({ path }, call) => {
    if (path.startsWith(HEALTH_SERVICE)) return new grpc.ServerInterceptingCall(call);
    const token = expectedToken();
    return new grpc.ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata(metadata, pass) {
            const [sent] = metadata.get(HEADER);
            if (token === null || (sent !== undefined && isEqual(String(sent), SCHEME + token))) {
              heard.accepted(call, metadata, path);
              pass(metadata);
              return;
            }
            heard.refused(call, metadata, path);
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

/** Compares in constant time. */
function isEqual(a: string, b: string): boolean {
  return timingSafeEqual(digest(a), digest(b));
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
