import type * as grpc from '@grpc/grpc-js';
import type { MessageTypeDefinition } from '@grpc/proto-loader';

import type { AbortInput as _locmoe_coordinator_v1_AbortInput, Abort as _locmoe_coordinator_v1_Abort } from './locmoe/coordinator/v1/Abort.js';
import type { AgentEventInput as _locmoe_coordinator_v1_AgentEventInput, AgentEvent as _locmoe_coordinator_v1_AgentEvent } from './locmoe/coordinator/v1/AgentEvent.js';
import type { BeginInput as _locmoe_coordinator_v1_BeginInput, Begin as _locmoe_coordinator_v1_Begin } from './locmoe/coordinator/v1/Begin.js';
import type { CoordinatorClient as _locmoe_coordinator_v1_CoordinatorClient, CoordinatorDefinition as _locmoe_coordinator_v1_CoordinatorDefinition } from './locmoe/coordinator/v1/Coordinator.js';
import type { CoordinatorCommandInput as _locmoe_coordinator_v1_CoordinatorCommandInput, CoordinatorCommand as _locmoe_coordinator_v1_CoordinatorCommand } from './locmoe/coordinator/v1/CoordinatorCommand.js';
import type { DomainLossInput as _locmoe_coordinator_v1_DomainLossInput, DomainLoss as _locmoe_coordinator_v1_DomainLoss } from './locmoe/coordinator/v1/DomainLoss.js';
import type { ExamineInput as _locmoe_coordinator_v1_ExamineInput, Examine as _locmoe_coordinator_v1_Examine } from './locmoe/coordinator/v1/Examine.js';
import type { FailpointFaultInput as _locmoe_coordinator_v1_FailpointFaultInput, FailpointFault as _locmoe_coordinator_v1_FailpointFault } from './locmoe/coordinator/v1/FailpointFault.js';
import type { FarewellInput as _locmoe_coordinator_v1_FarewellInput, Farewell as _locmoe_coordinator_v1_Farewell } from './locmoe/coordinator/v1/Farewell.js';
import type { FaultInput as _locmoe_coordinator_v1_FaultInput, Fault as _locmoe_coordinator_v1_Fault } from './locmoe/coordinator/v1/Fault.js';
import type { FaultReplyInput as _locmoe_coordinator_v1_FaultReplyInput, FaultReply as _locmoe_coordinator_v1_FaultReply } from './locmoe/coordinator/v1/FaultReply.js';
import type { FinishedInput as _locmoe_coordinator_v1_FinishedInput, Finished as _locmoe_coordinator_v1_Finished } from './locmoe/coordinator/v1/Finished.js';
import type { HeartbeatInput as _locmoe_coordinator_v1_HeartbeatInput, Heartbeat as _locmoe_coordinator_v1_Heartbeat } from './locmoe/coordinator/v1/Heartbeat.js';
import type { InheritanceInput as _locmoe_coordinator_v1_InheritanceInput, Inheritance as _locmoe_coordinator_v1_Inheritance } from './locmoe/coordinator/v1/Inheritance.js';
import type { JoinReplyInput as _locmoe_coordinator_v1_JoinReplyInput, JoinReply as _locmoe_coordinator_v1_JoinReply } from './locmoe/coordinator/v1/JoinReply.js';
import type { JoinRequestInput as _locmoe_coordinator_v1_JoinRequestInput, JoinRequest as _locmoe_coordinator_v1_JoinRequest } from './locmoe/coordinator/v1/JoinRequest.js';
import type { LayerReportInput as _locmoe_coordinator_v1_LayerReportInput, LayerReport as _locmoe_coordinator_v1_LayerReport } from './locmoe/coordinator/v1/LayerReport.js';
import type { LeavingInput as _locmoe_coordinator_v1_LeavingInput, Leaving as _locmoe_coordinator_v1_Leaving } from './locmoe/coordinator/v1/Leaving.js';
import type { LinkFaultInput as _locmoe_coordinator_v1_LinkFaultInput, LinkFault as _locmoe_coordinator_v1_LinkFault } from './locmoe/coordinator/v1/LinkFault.js';
import type { LogBatchInput as _locmoe_coordinator_v1_LogBatchInput, LogBatch as _locmoe_coordinator_v1_LogBatch } from './locmoe/coordinator/v1/LogBatch.js';
import type { LogLineInput as _locmoe_coordinator_v1_LogLineInput, LogLine as _locmoe_coordinator_v1_LogLine } from './locmoe/coordinator/v1/LogLine.js';
import type { LogsReplyInput as _locmoe_coordinator_v1_LogsReplyInput, LogsReply as _locmoe_coordinator_v1_LogsReply } from './locmoe/coordinator/v1/LogsReply.js';
import type { LogsRequestInput as _locmoe_coordinator_v1_LogsRequestInput, LogsRequest as _locmoe_coordinator_v1_LogsRequest } from './locmoe/coordinator/v1/LogsRequest.js';
import type { NodeProcessInput as _locmoe_coordinator_v1_NodeProcessInput, NodeProcess as _locmoe_coordinator_v1_NodeProcess } from './locmoe/coordinator/v1/NodeProcess.js';
import type { NumbersInput as _locmoe_coordinator_v1_NumbersInput, Numbers as _locmoe_coordinator_v1_Numbers } from './locmoe/coordinator/v1/Numbers.js';
import type { PeerInput as _locmoe_coordinator_v1_PeerInput, Peer as _locmoe_coordinator_v1_Peer } from './locmoe/coordinator/v1/Peer.js';
import type { RankSpeedInput as _locmoe_coordinator_v1_RankSpeedInput, RankSpeed as _locmoe_coordinator_v1_RankSpeed } from './locmoe/coordinator/v1/RankSpeed.js';
import type { ReadyInput as _locmoe_coordinator_v1_ReadyInput, Ready as _locmoe_coordinator_v1_Ready } from './locmoe/coordinator/v1/Ready.js';
import type { RecordedInput as _locmoe_coordinator_v1_RecordedInput, Recorded as _locmoe_coordinator_v1_Recorded } from './locmoe/coordinator/v1/Recorded.js';
import type { RejoinInput as _locmoe_coordinator_v1_RejoinInput, Rejoin as _locmoe_coordinator_v1_Rejoin } from './locmoe/coordinator/v1/Rejoin.js';
import type { SaveEndedInput as _locmoe_coordinator_v1_SaveEndedInput, SaveEnded as _locmoe_coordinator_v1_SaveEnded } from './locmoe/coordinator/v1/SaveEnded.js';
import type { SaveIntentInput as _locmoe_coordinator_v1_SaveIntentInput, SaveIntent as _locmoe_coordinator_v1_SaveIntent } from './locmoe/coordinator/v1/SaveIntent.js';
import type { ShardFileInput as _locmoe_coordinator_v1_ShardFileInput, ShardFile as _locmoe_coordinator_v1_ShardFile } from './locmoe/coordinator/v1/ShardFile.js';
import type { ShardReportInput as _locmoe_coordinator_v1_ShardReportInput, ShardReport as _locmoe_coordinator_v1_ShardReport } from './locmoe/coordinator/v1/ShardReport.js';
import type { SnapshotRefInput as _locmoe_coordinator_v1_SnapshotRefInput, SnapshotRef as _locmoe_coordinator_v1_SnapshotRef } from './locmoe/coordinator/v1/SnapshotRef.js';
import type { StartInput as _locmoe_coordinator_v1_StartInput, Start as _locmoe_coordinator_v1_Start } from './locmoe/coordinator/v1/Start.js';
import type { StatusReplyInput as _locmoe_coordinator_v1_StatusReplyInput, StatusReply as _locmoe_coordinator_v1_StatusReply } from './locmoe/coordinator/v1/StatusReply.js';
import type { StatusRequestInput as _locmoe_coordinator_v1_StatusRequestInput, StatusRequest as _locmoe_coordinator_v1_StatusRequest } from './locmoe/coordinator/v1/StatusRequest.js';
import type { StepReportInput as _locmoe_coordinator_v1_StepReportInput, StepReport as _locmoe_coordinator_v1_StepReport } from './locmoe/coordinator/v1/StepReport.js';
import type { StopReplyInput as _locmoe_coordinator_v1_StopReplyInput, StopReply as _locmoe_coordinator_v1_StopReply } from './locmoe/coordinator/v1/StopReply.js';
import type { StopRequestInput as _locmoe_coordinator_v1_StopRequestInput, StopRequest as _locmoe_coordinator_v1_StopRequest } from './locmoe/coordinator/v1/StopRequest.js';
import type { ValidationReportInput as _locmoe_coordinator_v1_ValidationReportInput, ValidationReport as _locmoe_coordinator_v1_ValidationReport } from './locmoe/coordinator/v1/ValidationReport.js';
import type { WorkerFailureInput as _locmoe_coordinator_v1_WorkerFailureInput, WorkerFailure as _locmoe_coordinator_v1_WorkerFailure } from './locmoe/coordinator/v1/WorkerFailure.js';
import type { WorkerProgressInput as _locmoe_coordinator_v1_WorkerProgressInput, WorkerProgress as _locmoe_coordinator_v1_WorkerProgress } from './locmoe/coordinator/v1/WorkerProgress.js';
import type { WriteShardsInput as _locmoe_coordinator_v1_WriteShardsInput, WriteShards as _locmoe_coordinator_v1_WriteShards } from './locmoe/coordinator/v1/WriteShards.js';

type SubtypeConstructor<Constructor extends new (...args: any) => any, Subtype> = {
  new(...args: ConstructorParameters<Constructor>): Subtype;
};

export interface ProtoGrpcType {
  locmoe: {
    coordinator: {
      v1: {
        Abort: MessageTypeDefinition<_locmoe_coordinator_v1_AbortInput, _locmoe_coordinator_v1_Abort>
        AgentEvent: MessageTypeDefinition<_locmoe_coordinator_v1_AgentEventInput, _locmoe_coordinator_v1_AgentEvent>
        Begin: MessageTypeDefinition<_locmoe_coordinator_v1_BeginInput, _locmoe_coordinator_v1_Begin>
        /**
         * The control plane: node agents join a run and keep one session open; the command line queries and stops it.
         * With a join token every call carries metadata `authorization: Bearer TOKEN`, also on the data plane.
         */
        Coordinator: SubtypeConstructor<typeof grpc.Client, _locmoe_coordinator_v1_CoordinatorClient> & { service: _locmoe_coordinator_v1_CoordinatorDefinition }
        CoordinatorCommand: MessageTypeDefinition<_locmoe_coordinator_v1_CoordinatorCommandInput, _locmoe_coordinator_v1_CoordinatorCommand>
        DomainLoss: MessageTypeDefinition<_locmoe_coordinator_v1_DomainLossInput, _locmoe_coordinator_v1_DomainLoss>
        Examine: MessageTypeDefinition<_locmoe_coordinator_v1_ExamineInput, _locmoe_coordinator_v1_Examine>
        FailpointFault: MessageTypeDefinition<_locmoe_coordinator_v1_FailpointFaultInput, _locmoe_coordinator_v1_FailpointFault>
        Farewell: MessageTypeDefinition<_locmoe_coordinator_v1_FarewellInput, _locmoe_coordinator_v1_Farewell>
        Fault: MessageTypeDefinition<_locmoe_coordinator_v1_FaultInput, _locmoe_coordinator_v1_Fault>
        FaultReply: MessageTypeDefinition<_locmoe_coordinator_v1_FaultReplyInput, _locmoe_coordinator_v1_FaultReply>
        Finished: MessageTypeDefinition<_locmoe_coordinator_v1_FinishedInput, _locmoe_coordinator_v1_Finished>
        Heartbeat: MessageTypeDefinition<_locmoe_coordinator_v1_HeartbeatInput, _locmoe_coordinator_v1_Heartbeat>
        Inheritance: MessageTypeDefinition<_locmoe_coordinator_v1_InheritanceInput, _locmoe_coordinator_v1_Inheritance>
        JoinReply: MessageTypeDefinition<_locmoe_coordinator_v1_JoinReplyInput, _locmoe_coordinator_v1_JoinReply>
        JoinRequest: MessageTypeDefinition<_locmoe_coordinator_v1_JoinRequestInput, _locmoe_coordinator_v1_JoinRequest>
        LayerReport: MessageTypeDefinition<_locmoe_coordinator_v1_LayerReportInput, _locmoe_coordinator_v1_LayerReport>
        Leaving: MessageTypeDefinition<_locmoe_coordinator_v1_LeavingInput, _locmoe_coordinator_v1_Leaving>
        LinkFault: MessageTypeDefinition<_locmoe_coordinator_v1_LinkFaultInput, _locmoe_coordinator_v1_LinkFault>
        LogBatch: MessageTypeDefinition<_locmoe_coordinator_v1_LogBatchInput, _locmoe_coordinator_v1_LogBatch>
        LogLine: MessageTypeDefinition<_locmoe_coordinator_v1_LogLineInput, _locmoe_coordinator_v1_LogLine>
        LogsReply: MessageTypeDefinition<_locmoe_coordinator_v1_LogsReplyInput, _locmoe_coordinator_v1_LogsReply>
        LogsRequest: MessageTypeDefinition<_locmoe_coordinator_v1_LogsRequestInput, _locmoe_coordinator_v1_LogsRequest>
        NodeProcess: MessageTypeDefinition<_locmoe_coordinator_v1_NodeProcessInput, _locmoe_coordinator_v1_NodeProcess>
        Numbers: MessageTypeDefinition<_locmoe_coordinator_v1_NumbersInput, _locmoe_coordinator_v1_Numbers>
        Peer: MessageTypeDefinition<_locmoe_coordinator_v1_PeerInput, _locmoe_coordinator_v1_Peer>
        RankSpeed: MessageTypeDefinition<_locmoe_coordinator_v1_RankSpeedInput, _locmoe_coordinator_v1_RankSpeed>
        Ready: MessageTypeDefinition<_locmoe_coordinator_v1_ReadyInput, _locmoe_coordinator_v1_Ready>
        Recorded: MessageTypeDefinition<_locmoe_coordinator_v1_RecordedInput, _locmoe_coordinator_v1_Recorded>
        Rejoin: MessageTypeDefinition<_locmoe_coordinator_v1_RejoinInput, _locmoe_coordinator_v1_Rejoin>
        SaveEnded: MessageTypeDefinition<_locmoe_coordinator_v1_SaveEndedInput, _locmoe_coordinator_v1_SaveEnded>
        SaveIntent: MessageTypeDefinition<_locmoe_coordinator_v1_SaveIntentInput, _locmoe_coordinator_v1_SaveIntent>
        ShardFile: MessageTypeDefinition<_locmoe_coordinator_v1_ShardFileInput, _locmoe_coordinator_v1_ShardFile>
        ShardReport: MessageTypeDefinition<_locmoe_coordinator_v1_ShardReportInput, _locmoe_coordinator_v1_ShardReport>
        SnapshotRef: MessageTypeDefinition<_locmoe_coordinator_v1_SnapshotRefInput, _locmoe_coordinator_v1_SnapshotRef>
        Start: MessageTypeDefinition<_locmoe_coordinator_v1_StartInput, _locmoe_coordinator_v1_Start>
        StatusReply: MessageTypeDefinition<_locmoe_coordinator_v1_StatusReplyInput, _locmoe_coordinator_v1_StatusReply>
        StatusRequest: MessageTypeDefinition<_locmoe_coordinator_v1_StatusRequestInput, _locmoe_coordinator_v1_StatusRequest>
        StepReport: MessageTypeDefinition<_locmoe_coordinator_v1_StepReportInput, _locmoe_coordinator_v1_StepReport>
        StopReply: MessageTypeDefinition<_locmoe_coordinator_v1_StopReplyInput, _locmoe_coordinator_v1_StopReply>
        StopRequest: MessageTypeDefinition<_locmoe_coordinator_v1_StopRequestInput, _locmoe_coordinator_v1_StopRequest>
        ValidationReport: MessageTypeDefinition<_locmoe_coordinator_v1_ValidationReportInput, _locmoe_coordinator_v1_ValidationReport>
        WorkerFailure: MessageTypeDefinition<_locmoe_coordinator_v1_WorkerFailureInput, _locmoe_coordinator_v1_WorkerFailure>
        WorkerProgress: MessageTypeDefinition<_locmoe_coordinator_v1_WorkerProgressInput, _locmoe_coordinator_v1_WorkerProgress>
        WriteShards: MessageTypeDefinition<_locmoe_coordinator_v1_WriteShardsInput, _locmoe_coordinator_v1_WriteShards>
      }
    }
  }
}

