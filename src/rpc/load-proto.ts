import { fileURLToPath } from 'node:url';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { loadSync, type PackageDefinition } from '@grpc/proto-loader';
import { TrainerError } from '../errors.js';

const loaded = new Map<string, PackageDefinition>();

/**
 * The definitions of `proto/<name>.proto`, read once per process. Fields are camelCase, absent fields get
 * their defaults, enums are strings, 64-bit integers are numbers, and a oneof names its member in a field of
 * its own.
 */
export function loadProto(name: string): PackageDefinition {
  let definition = loaded.get(name);
  if (definition === undefined) {
    const file = fileURLToPath(new URL(`../../proto/${name}.proto`, import.meta.url));
    definition = loadSync(file, { longs: Number, enums: String, defaults: true, oneofs: true });
    loaded.set(name, definition);
  }
  return definition;
}

/**
 * One service of `proto/<name>.proto`, for `server.addService` or `grpc.makeGenericClientConstructor`.
 *
 * @param service full name, e.g. `locmoe.collectives.v1.Collectives`
 * @throws TrainerError `INTERNAL` if the file has no such service
 */
export function loadService(name: string, service: string): ServiceDefinition {
  const definition = loadProto(name)[service];
  if (definition === undefined || 'format' in definition)
    throw new TrainerError('INTERNAL', `proto/${name}.proto has no service ${service}`);
  return definition as ServiceDefinition;
}

/**
 * A method whose handler is given a `BAD_MESSAGE` error for a request that cannot be decoded. grpc-js ends such a call
 * by itself and tells nobody; a message that the handler writes then keeps the call open for ever.
 */
export function withUndecodable(method: ServiceDefinition[string]): ServiceDefinition[string] {
  return {
    ...method,
    requestDeserialize(bytes) {
      try {
        return method.requestDeserialize(bytes);
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        return new TrainerError('BAD_MESSAGE', `${method.path}: a message cannot be decoded: ${reason}`);
      }
    },
  };
}
