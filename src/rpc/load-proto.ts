import { fileURLToPath } from 'node:url';
import { loadSync, type MethodDefinition, type PackageDefinition } from '@grpc/proto-loader';
import { TrainerError } from '../errors.js';
import type { ProtoGrpcType as Collectives } from './generated/collectives.js';
import type { ProtoGrpcType as Coordinator } from './generated/coordinator.js';
import type { ProtoGrpcType as Onnx } from './generated/onnx.js';
import type { ProtoGrpcType as SavedModel } from './generated/saved_model.js';
import type { ProtoGrpcType as Tensorboard } from './generated/tensorboard.js';

/** The packages of each file of proto/, nested by the parts of their names. */
interface Protos {
  readonly collectives: Collectives;
  readonly coordinator: Coordinator;
  readonly onnx: Onnx;
  readonly saved_model: SavedModel;
  readonly tensorboard: Tensorboard;
}

type Named<
  Package,
  Name extends string,
> = Name extends `${infer Head extends string & keyof Package}.${infer Rest}`
  ? Named<Package[Head], Rest>
  : Name extends keyof Package
    ? Package[Name]
    : never;

type Definition<Type> = Type extends { service: infer Service } ? Service : Type;

const loaded = new Map<string, PackageDefinition>();

/**
 * Returns the definition of a service or message of `proto/<file>.proto`, which is read once per process. Fields are
 * camelCase, absent fields get their defaults, enums are strings, 64-bit integers are numbers, and a oneof names its
 * member in a separate field; scripts/proto-types.mjs generates the types accordingly.
 *
 * @param name full name, e.g. `locmoe.collectives.v1.Collectives`
 */
export function loadProto<File extends keyof Protos, Name extends string>(
  file: File,
  name: Name,
): Definition<Named<Protos[File], Name>> {
  let definitions = loaded.get(file);
  if (definitions === undefined) {
    const place = fileURLToPath(new URL(`../../proto/${file}.proto`, import.meta.url));
    definitions = loadSync(place, { longs: Number, enums: String, defaults: true, oneofs: true });
    loaded.set(file, definitions);
  }
  return definitions[name] as Definition<Named<Protos[File], Name>>;
}

/**
 * Passes a `BAD_MESSAGE` error to a method's handler for a request that cannot be decoded. grpc-js would end such a
 * call without telling the handler; a message that the handler writes then keeps the call open forever.
 */
export function withUndecodable<Request, Reply, Received, ReceivedReply>(
  method: MethodDefinition<Request, Reply, Received, ReceivedReply>,
): MethodDefinition<Request, Reply, Received | TrainerError, ReceivedReply> {
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
