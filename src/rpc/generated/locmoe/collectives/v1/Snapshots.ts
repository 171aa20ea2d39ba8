// Original file: proto/collectives.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { FetchChunkInput as _locmoe_collectives_v1_FetchChunkInput, FetchChunk as _locmoe_collectives_v1_FetchChunk } from '../../../locmoe/collectives/v1/FetchChunk.js';
import type { FetchRequestInput as _locmoe_collectives_v1_FetchRequestInput, FetchRequest as _locmoe_collectives_v1_FetchRequest } from '../../../locmoe/collectives/v1/FetchRequest.js';

/**
 * Copies of the ranks' state in the memory of the nodes.
 */
export interface SnapshotsClient extends grpc.Client {
  /**
   * The files of a node's ranks; the caller's own were lost, or it keeps a copy of its neighbour's.
   */
  Fetch(argument: _locmoe_collectives_v1_FetchRequestInput, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_locmoe_collectives_v1_FetchChunk>;
  Fetch(argument: _locmoe_collectives_v1_FetchRequestInput, options?: grpc.CallOptions): grpc.ClientReadableStream<_locmoe_collectives_v1_FetchChunk>;
  /**
   * The files of a node's ranks; the caller's own were lost, or it keeps a copy of its neighbour's.
   */
  fetch(argument: _locmoe_collectives_v1_FetchRequestInput, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_locmoe_collectives_v1_FetchChunk>;
  fetch(argument: _locmoe_collectives_v1_FetchRequestInput, options?: grpc.CallOptions): grpc.ClientReadableStream<_locmoe_collectives_v1_FetchChunk>;
  
}

/**
 * Copies of the ranks' state in the memory of the nodes.
 */
export interface SnapshotsHandlers extends grpc.UntypedServiceImplementation {
  /**
   * The files of a node's ranks; the caller's own were lost, or it keeps a copy of its neighbour's.
   */
  Fetch: grpc.handleServerStreamingCall<_locmoe_collectives_v1_FetchRequest, _locmoe_collectives_v1_FetchChunkInput>;
  
}

export interface SnapshotsDefinition extends grpc.ServiceDefinition {
  Fetch: MethodDefinition<_locmoe_collectives_v1_FetchRequestInput, _locmoe_collectives_v1_FetchChunkInput, _locmoe_collectives_v1_FetchRequest, _locmoe_collectives_v1_FetchChunk>
}
