import * as grpc from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import { TrainerError } from '../errors.js';

/** A gRPC server that answers grpc.health.v1. */
export interface RpcServer {
  readonly server: grpc.Server;
  readonly health: HealthImplementation;
}

/** Makes a server; services are added before it listens. Its health is NOT_SERVING until `listen`. */
export function createRpcServer(): RpcServer {
  const server = new grpc.Server({ 'grpc.max_receive_message_length': 16 << 20 });
  const health = new HealthImplementation({ '': 'NOT_SERVING' });
  health.addToServer(server);
  return { server, health };
}

/**
 * Listens and reports SERVING; port 0 takes a free one.
 *
 * @returns the address as host:port
 * @throws TrainerError `NO_RESOURCE` if the port cannot be had
 */
export async function listen({ server, health }: RpcServer, host: string, port: number): Promise<string> {
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${host}:${port}`, grpc.ServerCredentials.createInsecure(), (error, actual) => {
      if (error === null) resolve(actual);
      else
        reject(
          new TrainerError(
            'NO_RESOURCE',
            `port ${port} on ${host} cannot be used (${error.message}); is another run using it? Choose another with --port, or 0 for a free one`,
          ),
        );
    });
  });
  health.setStatus('', 'SERVING');
  return `${host}:${bound}`;
}
