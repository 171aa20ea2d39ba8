// Original file: proto/coordinator.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { AgentEventInput as _locmoe_coordinator_v1_AgentEventInput, AgentEvent as _locmoe_coordinator_v1_AgentEvent } from '../../../locmoe/coordinator/v1/AgentEvent.js';
import type { CoordinatorCommandInput as _locmoe_coordinator_v1_CoordinatorCommandInput, CoordinatorCommand as _locmoe_coordinator_v1_CoordinatorCommand } from '../../../locmoe/coordinator/v1/CoordinatorCommand.js';
import type { FaultInput as _locmoe_coordinator_v1_FaultInput, Fault as _locmoe_coordinator_v1_Fault } from '../../../locmoe/coordinator/v1/Fault.js';
import type { FaultReplyInput as _locmoe_coordinator_v1_FaultReplyInput, FaultReply as _locmoe_coordinator_v1_FaultReply } from '../../../locmoe/coordinator/v1/FaultReply.js';
import type { JoinReplyInput as _locmoe_coordinator_v1_JoinReplyInput, JoinReply as _locmoe_coordinator_v1_JoinReply } from '../../../locmoe/coordinator/v1/JoinReply.js';
import type { JoinRequestInput as _locmoe_coordinator_v1_JoinRequestInput, JoinRequest as _locmoe_coordinator_v1_JoinRequest } from '../../../locmoe/coordinator/v1/JoinRequest.js';
import type { LogsReplyInput as _locmoe_coordinator_v1_LogsReplyInput, LogsReply as _locmoe_coordinator_v1_LogsReply } from '../../../locmoe/coordinator/v1/LogsReply.js';
import type { LogsRequestInput as _locmoe_coordinator_v1_LogsRequestInput, LogsRequest as _locmoe_coordinator_v1_LogsRequest } from '../../../locmoe/coordinator/v1/LogsRequest.js';
import type { StatusReplyInput as _locmoe_coordinator_v1_StatusReplyInput, StatusReply as _locmoe_coordinator_v1_StatusReply } from '../../../locmoe/coordinator/v1/StatusReply.js';
import type { StatusRequestInput as _locmoe_coordinator_v1_StatusRequestInput, StatusRequest as _locmoe_coordinator_v1_StatusRequest } from '../../../locmoe/coordinator/v1/StatusRequest.js';
import type { StopReplyInput as _locmoe_coordinator_v1_StopReplyInput, StopReply as _locmoe_coordinator_v1_StopReply } from '../../../locmoe/coordinator/v1/StopReply.js';
import type { StopRequestInput as _locmoe_coordinator_v1_StopRequestInput, StopRequest as _locmoe_coordinator_v1_StopRequest } from '../../../locmoe/coordinator/v1/StopRequest.js';

/**
 * The control plane: node agents join a run and keep one session open; the command line queries and stops it.
 * With a join token every call carries metadata `authorization: Bearer TOKEN`, also on the data plane.
 */
export interface CoordinatorClient extends grpc.Client {
  GetStatus(argument: _locmoe_coordinator_v1_StatusRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_locmoe_coordinator_v1_StatusReply>): grpc.ClientUnaryCall;
  GetStatus(argument: _locmoe_coordinator_v1_StatusRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_locmoe_coordinator_v1_StatusReply>): grpc.ClientUnaryCall;
  GetStatus(argument: _locmoe_coordinator_v1_StatusRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_locmoe_coordinator_v1_StatusReply>): grpc.ClientUnaryCall;
  GetStatus(argument: _locmoe_coordinator_v1_StatusRequestInput, callback: grpc.requestCallback<_locmoe_coordinator_v1_StatusReply>): grpc.ClientUnaryCall;
  getStatus(argument: _locmoe_coordinator_v1_StatusRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_locmoe_coordinator_v1_StatusReply>): grpc.ClientUnaryCall;
  getStatus(argument: _locmoe_coordinator_v1_StatusRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_locmoe_coordinator_v1_StatusReply>): grpc.ClientUnaryCall;
  getStatus(argument: _locmoe_coordinator_v1_StatusRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_locmoe_coordinator_v1_StatusReply>): grpc.ClientUnaryCall;
  getStatus(argument: _locmoe_coordinator_v1_StatusRequestInput, callback: grpc.requestCallback<_locmoe_coordinator_v1_StatusReply>): grpc.ClientUnaryCall;
  
  /**
   * Carries a fault to a node; refused unless the run was started with --allow-faults.
   */
  InjectFault(argument: _locmoe_coordinator_v1_FaultInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_locmoe_coordinator_v1_FaultReply>): grpc.ClientUnaryCall;
  InjectFault(argument: _locmoe_coordinator_v1_FaultInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_locmoe_coordinator_v1_FaultReply>): grpc.ClientUnaryCall;
  InjectFault(argument: _locmoe_coordinator_v1_FaultInput, options: grpc.CallOptions, callback: grpc.requestCallback<_locmoe_coordinator_v1_FaultReply>): grpc.ClientUnaryCall;
  InjectFault(argument: _locmoe_coordinator_v1_FaultInput, callback: grpc.requestCallback<_locmoe_coordinator_v1_FaultReply>): grpc.ClientUnaryCall;
  /**
   * Carries a fault to a node; refused unless the run was started with --allow-faults.
   */
  injectFault(argument: _locmoe_coordinator_v1_FaultInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_locmoe_coordinator_v1_FaultReply>): grpc.ClientUnaryCall;
  injectFault(argument: _locmoe_coordinator_v1_FaultInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_locmoe_coordinator_v1_FaultReply>): grpc.ClientUnaryCall;
  injectFault(argument: _locmoe_coordinator_v1_FaultInput, options: grpc.CallOptions, callback: grpc.requestCallback<_locmoe_coordinator_v1_FaultReply>): grpc.ClientUnaryCall;
  injectFault(argument: _locmoe_coordinator_v1_FaultInput, callback: grpc.requestCallback<_locmoe_coordinator_v1_FaultReply>): grpc.ClientUnaryCall;
  
  /**
   * A node agent joins the run.
   */
  Join(argument: _locmoe_coordinator_v1_JoinRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_locmoe_coordinator_v1_JoinReply>): grpc.ClientUnaryCall;
  Join(argument: _locmoe_coordinator_v1_JoinRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_locmoe_coordinator_v1_JoinReply>): grpc.ClientUnaryCall;
  Join(argument: _locmoe_coordinator_v1_JoinRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_locmoe_coordinator_v1_JoinReply>): grpc.ClientUnaryCall;
  Join(argument: _locmoe_coordinator_v1_JoinRequestInput, callback: grpc.requestCallback<_locmoe_coordinator_v1_JoinReply>): grpc.ClientUnaryCall;
  /**
   * A node agent joins the run.
   */
  join(argument: _locmoe_coordinator_v1_JoinRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_locmoe_coordinator_v1_JoinReply>): grpc.ClientUnaryCall;
  join(argument: _locmoe_coordinator_v1_JoinRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_locmoe_coordinator_v1_JoinReply>): grpc.ClientUnaryCall;
  join(argument: _locmoe_coordinator_v1_JoinRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_locmoe_coordinator_v1_JoinReply>): grpc.ClientUnaryCall;
  join(argument: _locmoe_coordinator_v1_JoinRequestInput, callback: grpc.requestCallback<_locmoe_coordinator_v1_JoinReply>): grpc.ClientUnaryCall;
  
  /**
   * One for each member, for as long as it is one, or until it breaks; then the member opens another. Metadata: run-id,
   * generation, node, data-address, and term, the highest that it has heard; of the reply: term, the coordinator's.
   */
  Session(metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientDuplexStream<_locmoe_coordinator_v1_AgentEventInput, _locmoe_coordinator_v1_CoordinatorCommand>;
  Session(options?: grpc.CallOptions): grpc.ClientDuplexStream<_locmoe_coordinator_v1_AgentEventInput, _locmoe_coordinator_v1_CoordinatorCommand>;
  /**
   * One for each member, for as long as it is one, or until it breaks; then the member opens another. Metadata: run-id,
   * generation, node, data-address, and term, the highest that it has heard; of the reply: term, the coordinator's.
   */
  session(metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientDuplexStream<_locmoe_coordinator_v1_AgentEventInput, _locmoe_coordinator_v1_CoordinatorCommand>;
  session(options?: grpc.CallOptions): grpc.ClientDuplexStream<_locmoe_coordinator_v1_AgentEventInput, _locmoe_coordinator_v1_CoordinatorCommand>;
  
  /**
   * Asks for a final checkpoint at the next step boundary and the end of the run.
   */
  Stop(argument: _locmoe_coordinator_v1_StopRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_locmoe_coordinator_v1_StopReply>): grpc.ClientUnaryCall;
  Stop(argument: _locmoe_coordinator_v1_StopRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_locmoe_coordinator_v1_StopReply>): grpc.ClientUnaryCall;
  Stop(argument: _locmoe_coordinator_v1_StopRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_locmoe_coordinator_v1_StopReply>): grpc.ClientUnaryCall;
  Stop(argument: _locmoe_coordinator_v1_StopRequestInput, callback: grpc.requestCallback<_locmoe_coordinator_v1_StopReply>): grpc.ClientUnaryCall;
  /**
   * Asks for a final checkpoint at the next step boundary and the end of the run.
   */
  stop(argument: _locmoe_coordinator_v1_StopRequestInput, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_locmoe_coordinator_v1_StopReply>): grpc.ClientUnaryCall;
  stop(argument: _locmoe_coordinator_v1_StopRequestInput, metadata: grpc.Metadata, callback: grpc.requestCallback<_locmoe_coordinator_v1_StopReply>): grpc.ClientUnaryCall;
  stop(argument: _locmoe_coordinator_v1_StopRequestInput, options: grpc.CallOptions, callback: grpc.requestCallback<_locmoe_coordinator_v1_StopReply>): grpc.ClientUnaryCall;
  stop(argument: _locmoe_coordinator_v1_StopRequestInput, callback: grpc.requestCallback<_locmoe_coordinator_v1_StopReply>): grpc.ClientUnaryCall;
  
  StreamLogs(argument: _locmoe_coordinator_v1_LogsRequestInput, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_locmoe_coordinator_v1_LogsReply>;
  StreamLogs(argument: _locmoe_coordinator_v1_LogsRequestInput, options?: grpc.CallOptions): grpc.ClientReadableStream<_locmoe_coordinator_v1_LogsReply>;
  streamLogs(argument: _locmoe_coordinator_v1_LogsRequestInput, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_locmoe_coordinator_v1_LogsReply>;
  streamLogs(argument: _locmoe_coordinator_v1_LogsRequestInput, options?: grpc.CallOptions): grpc.ClientReadableStream<_locmoe_coordinator_v1_LogsReply>;
  
}

/**
 * The control plane: node agents join a run and keep one session open; the command line queries and stops it.
 * With a join token every call carries metadata `authorization: Bearer TOKEN`, also on the data plane.
 */
export interface CoordinatorHandlers extends grpc.UntypedServiceImplementation {
  GetStatus: grpc.handleUnaryCall<_locmoe_coordinator_v1_StatusRequest, _locmoe_coordinator_v1_StatusReplyInput>;
  
  /**
   * Carries a fault to a node; refused unless the run was started with --allow-faults.
   */
  InjectFault: grpc.handleUnaryCall<_locmoe_coordinator_v1_Fault, _locmoe_coordinator_v1_FaultReplyInput>;
  
  /**
   * A node agent joins the run.
   */
  Join: grpc.handleUnaryCall<_locmoe_coordinator_v1_JoinRequest, _locmoe_coordinator_v1_JoinReplyInput>;
  
  /**
   * One for each member, for as long as it is one, or until it breaks; then the member opens another. Metadata: run-id,
   * generation, node, data-address, and term, the highest that it has heard; of the reply: term, the coordinator's.
   */
  Session: grpc.handleBidiStreamingCall<_locmoe_coordinator_v1_AgentEvent, _locmoe_coordinator_v1_CoordinatorCommandInput>;
  
  /**
   * Asks for a final checkpoint at the next step boundary and the end of the run.
   */
  Stop: grpc.handleUnaryCall<_locmoe_coordinator_v1_StopRequest, _locmoe_coordinator_v1_StopReplyInput>;
  
  StreamLogs: grpc.handleServerStreamingCall<_locmoe_coordinator_v1_LogsRequest, _locmoe_coordinator_v1_LogsReplyInput>;
  
}

export interface CoordinatorDefinition extends grpc.ServiceDefinition {
  GetStatus: MethodDefinition<_locmoe_coordinator_v1_StatusRequestInput, _locmoe_coordinator_v1_StatusReplyInput, _locmoe_coordinator_v1_StatusRequest, _locmoe_coordinator_v1_StatusReply>
  InjectFault: MethodDefinition<_locmoe_coordinator_v1_FaultInput, _locmoe_coordinator_v1_FaultReplyInput, _locmoe_coordinator_v1_Fault, _locmoe_coordinator_v1_FaultReply>
  Join: MethodDefinition<_locmoe_coordinator_v1_JoinRequestInput, _locmoe_coordinator_v1_JoinReplyInput, _locmoe_coordinator_v1_JoinRequest, _locmoe_coordinator_v1_JoinReply>
  Session: MethodDefinition<_locmoe_coordinator_v1_AgentEventInput, _locmoe_coordinator_v1_CoordinatorCommandInput, _locmoe_coordinator_v1_AgentEvent, _locmoe_coordinator_v1_CoordinatorCommand>
  Stop: MethodDefinition<_locmoe_coordinator_v1_StopRequestInput, _locmoe_coordinator_v1_StopReplyInput, _locmoe_coordinator_v1_StopRequest, _locmoe_coordinator_v1_StopReply>
  StreamLogs: MethodDefinition<_locmoe_coordinator_v1_LogsRequestInput, _locmoe_coordinator_v1_LogsReplyInput, _locmoe_coordinator_v1_LogsRequest, _locmoe_coordinator_v1_LogsReply>
}
