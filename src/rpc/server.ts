import type { AddressInfo } from 'node:net';
import * as grpc from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import { TrainerError } from '../errors.js';
import { type Address, formatAddress } from './address.js';
import { NAME_HEADER } from './http2/connection-name.js';
import { directListener, type FindDirect } from './http2/direct-server.js';
import { requireToken } from './join-token.js';
import { NO_SECURITY, type Security, serverCredentials, tlsOptions } from './security.js';

export interface RpcServer {
  readonly server: grpc.Server;
  readonly health: HealthImplementation;
  /** A node that joins a run replaces them by those of the run. */
  security: Security;
  /** Finds the connection of a call, on a server that accepts direct streams. */
  findDirect: FindDirect;
  /** Ends all connections, and listens no more. */
  close(): void;
  /** Called at most once a second with a line on a call that was refused for its token. */
  onRefused: (line: string) => void;
}

const REFUSAL_INTERVAL_MS = 1_000;

/** Creates a server, NOT_SERVING until `listen`; add services before that. */
export function createRpcServer(security: Security = NO_SECURITY): RpcServer {
  let toldMs = Number.NEGATIVE_INFINITY;
  const refused: Parameters<typeof requireToken>[1] = (call, method, metadata) => {
    const now = performance.now();
    if (now - toldMs < REFUSAL_INTERVAL_MS) return;
    toldMs = now;
    const direct = rpc.findDirect(String(metadata.get(NAME_HEADER)[0]));
    rpc.onRefused(`refused ${method} of ${direct?.peer ?? call.getPeer()}: wrong join token, or none`);
  };
  const server = new grpc.Server({
    'grpc.max_receive_message_length': 16 << 20,
    interceptors: [requireToken(() => rpc.security.token, refused)],
  });
  const health = new HealthImplementation({ '': 'NOT_SERVING' });
  health.addToServer(server);
  const rpc: RpcServer = {
    server,
    health,
    security,
    findDirect: () => undefined,
    close: () => server.forceShutdown(),
    onRefused: () => undefined,
  };
  return rpc;
}

/**
 * Listens and reports SERVING. Port 0 takes a free one.
 *
 * @param option the command-line option of the port, for the error
 * @returns the address with the actual port
 * @throws TrainerError `NO_RESOURCE` if the port cannot be used
 */
export async function listen(
  { server, health, security }: RpcServer,
  address: Address,
  option: string,
): Promise<Address> {
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(formatAddress(address), serverCredentials(security), (error, actual) => {
      if (error === null) resolve(actual);
      else reject(inUse(address, error.message, option));
    });
  });
  health.setStatus('', 'SERVING');
  return { ...address, port };
}

/** The same for a server that accepts direct streams too. */
export async function listenDirectly(rpc: RpcServer, address: Address, option: string): Promise<Address> {
  const { server, health, security } = rpc;
  const injector = server.createConnectionInjector(grpc.ServerCredentials.createInsecure());
  const { server: listener, find } = directListener(
    (connection) => injector.injectConnection(connection),
    tlsOptions(security),
  );
  await new Promise<void>((resolve, reject) => {
    listener.once('error', (error) => reject(inUse(address, error.message, option)));
    listener.listen({ host: address.host, port: address.port }, resolve);
  });
  rpc.findDirect = find;
  rpc.close = () => {
    listener.close();
    server.forceShutdown();
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
