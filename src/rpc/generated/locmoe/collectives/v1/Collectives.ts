// Original file: proto/collectives.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { FrameInput as _locmoe_collectives_v1_FrameInput, Frame as _locmoe_collectives_v1_Frame } from '../../../locmoe/collectives/v1/Frame.js';
import type { PullRequestInput as _locmoe_collectives_v1_PullRequestInput, PullRequest as _locmoe_collectives_v1_PullRequest } from '../../../locmoe/collectives/v1/PullRequest.js';

/**
 * The data plane between node agents. The receiver opens the call and the sender serves it, because bulk data
 * flows several times faster from server to client, where grpc-js applies a configurable flow-control window.
 */
export interface CollectivesClient extends grpc.Client {
  /**
   * One call for each ordered pair of nodes; the caller receives what the callee's workers send to its
   * workers.
   */
  Pull(metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientDuplexStream<_locmoe_collectives_v1_PullRequestInput, _locmoe_collectives_v1_Frame>;
  Pull(options?: grpc.CallOptions): grpc.ClientDuplexStream<_locmoe_collectives_v1_PullRequestInput, _locmoe_collectives_v1_Frame>;
  /**
   * One call for each ordered pair of nodes; the caller receives what the callee's workers send to its
   * workers.
   */
  pull(metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientDuplexStream<_locmoe_collectives_v1_PullRequestInput, _locmoe_collectives_v1_Frame>;
  pull(options?: grpc.CallOptions): grpc.ClientDuplexStream<_locmoe_collectives_v1_PullRequestInput, _locmoe_collectives_v1_Frame>;
  
}

/**
 * The data plane between node agents. The receiver opens the call and the sender serves it, because bulk data
 * flows several times faster from server to client, where grpc-js applies a configurable flow-control window.
 */
export interface CollectivesHandlers extends grpc.UntypedServiceImplementation {
  /**
   * One call for each ordered pair of nodes; the caller receives what the callee's workers send to its
   * workers.
   */
  Pull: grpc.handleBidiStreamingCall<_locmoe_collectives_v1_PullRequest, _locmoe_collectives_v1_FrameInput>;
  
}

export interface CollectivesDefinition extends grpc.ServiceDefinition {
  Pull: MethodDefinition<_locmoe_collectives_v1_PullRequestInput, _locmoe_collectives_v1_FrameInput, _locmoe_collectives_v1_PullRequest, _locmoe_collectives_v1_Frame>
}
