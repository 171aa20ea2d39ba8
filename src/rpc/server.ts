import type { AddressInfo, Socket } from 'node:net';
import * as grpc from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import { TrainerError } from '../errors.js';
import type { Address } from './address.js';
import { NAME_HEADER } from './http2/connection-name.js';
import { directListener, type FindDirect } from './http2/direct-server.js';
import { requireToken } from './join-token.js';
import { NO_SECURITY, type Security, tlsOptions } from './security.js';
import { Strangers } from './strangers.js';

export interface RpcServer {
  readonly server: grpc.Server;
  readonly health: HealthImplementation;
  /** Credentials, which a node that joins a run replaces by those of the run. */
  security: Security;
  readonly strangers: Strangers;
  /** Finds the connection of a call, if it is named for a direct stream. */
  findDirect: FindDirect;
  /** Ends all connections and stops listening. */
  close(): void;
  /** Called with a line on what was refused: a call for its token, at most once a second, or connections (Strangers). */
  onRefused: (line: string) => void;
}

const REFUSAL_INTERVAL_MS = 1_000;

/** Creates a server, NOT_SERVING until `listen`; add services before that. */
export function createRpcServer(security: Security = NO_SECURITY): RpcServer {
  let toldMs = Number.NEGATIVE_INFINITY;
  const peerOf = (call: grpc.ServerInterceptingCallInterface, metadata: grpc.Metadata) =>
    rpc.findDirect(String(metadata.get(NAME_HEADER)[0]))?.peer ?? call.getPeer();
  const server = new grpc.Server({
    'grpc.max_receive_message_length': 16 << 20,
    interceptors: [
      requireToken(() => rpc.security.token, {
        accepted: (call, metadata) => rpc.strangers.accept(peerOf(call, metadata)),
        refused(call, metadata, method) {
          const now = performance.now();
          if (now - toldMs < REFUSAL_INTERVAL_MS) return;
          toldMs = now;
          rpc.onRefused(`refused ${method} of ${peerOf(call, metadata)}: wrong join token, or none`);
        },
      }),
    ],
  });
  const health = new HealthImplementation({ '': 'NOT_SERVING' });
  health.addToServer(server);
  const rpc: RpcServer = {
    server,
    health,
    security,
    strangers: new Strangers((line) => rpc.onRefused(line)),
    findDirect: () => undefined,
    close: () => server.forceShutdown(),
    onRefused: () => undefined,
  };
  return rpc;
}

/**
 * Listens and reports SERVING, for direct streams too. Port 0 takes a free one.
 *
 * @param option the command-line option of the port, for the error
 * @returns the address with the actual port
 * @throws TrainerError `NO_RESOURCE` if the port cannot be used
 */
export async function listen(rpc: RpcServer, address: Address, option: string): Promise<Address> {
  const { server, health, security, strangers } = rpc;
  const injector = server.createConnectionInjector(grpc.ServerCredentials.createInsecure());
  const { server: listener, find } = directListener(
    (connection) => injector.injectConnection(connection),
    tlsOptions(security),
  );
  listener.on('connection', (socket: Socket) => strangers.add(socket));
  await new Promise<void>((resolve, reject) => {
    listener.once('error', (error) => reject(inUse(address, error.message, option)));
    listener.listen({ host: address.host, port: address.port }, resolve);
  });
  rpc.findDirect = find;
  rpc.close = () => {
    listener.close();
    server.forceShutdown();
    strangers.closeAll();
  };
  health.setStatus('', 'SERVING');
  return { ...address, port: (listener.address() as AddressInfo).port };
}

function inUse(address: Address, why: string, option: string): TrainerError {
  return new TrainerError(
    'NO_RESOURCE',
    `port ${address.port} on ${address.host} cannot be used (${why}); is another run using it? Choose another with ` +
      `${option}, or 0 for a free one`,
  );
}
