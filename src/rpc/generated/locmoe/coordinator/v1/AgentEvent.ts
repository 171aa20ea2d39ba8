import type { OneOf } from '../../../../one-of.js';
// Original file: proto/coordinator.proto

import type { ReadyInput as _locmoe_coordinator_v1_ReadyInput, Ready as _locmoe_coordinator_v1_Ready } from '../../../locmoe/coordinator/v1/Ready.js';
import type { HeartbeatInput as _locmoe_coordinator_v1_HeartbeatInput, Heartbeat as _locmoe_coordinator_v1_Heartbeat } from '../../../locmoe/coordinator/v1/Heartbeat.js';
import type { StepReportInput as _locmoe_coordinator_v1_StepReportInput, StepReport as _locmoe_coordinator_v1_StepReport } from '../../../locmoe/coordinator/v1/StepReport.js';
import type { ValidationReportInput as _locmoe_coordinator_v1_ValidationReportInput, ValidationReport as _locmoe_coordinator_v1_ValidationReport } from '../../../locmoe/coordinator/v1/ValidationReport.js';
import type { WorkerFailureInput as _locmoe_coordinator_v1_WorkerFailureInput, WorkerFailure as _locmoe_coordinator_v1_WorkerFailure } from '../../../locmoe/coordinator/v1/WorkerFailure.js';
import type { LogBatchInput as _locmoe_coordinator_v1_LogBatchInput, LogBatch as _locmoe_coordinator_v1_LogBatch } from '../../../locmoe/coordinator/v1/LogBatch.js';
import type { FinishedInput as _locmoe_coordinator_v1_FinishedInput, Finished as _locmoe_coordinator_v1_Finished } from '../../../locmoe/coordinator/v1/Finished.js';
import type { StopRequestInput as _locmoe_coordinator_v1_StopRequestInput, StopRequest as _locmoe_coordinator_v1_StopRequest } from '../../../locmoe/coordinator/v1/StopRequest.js';
import type { LeavingInput as _locmoe_coordinator_v1_LeavingInput, Leaving as _locmoe_coordinator_v1_Leaving } from '../../../locmoe/coordinator/v1/Leaving.js';
import type { SaveIntentInput as _locmoe_coordinator_v1_SaveIntentInput, SaveIntent as _locmoe_coordinator_v1_SaveIntent } from '../../../locmoe/coordinator/v1/SaveIntent.js';
import type { ShardReportInput as _locmoe_coordinator_v1_ShardReportInput, ShardReport as _locmoe_coordinator_v1_ShardReport } from '../../../locmoe/coordinator/v1/ShardReport.js';
import type { SnapshotRefInput as _locmoe_coordinator_v1_SnapshotRefInput, SnapshotRef as _locmoe_coordinator_v1_SnapshotRef } from '../../../locmoe/coordinator/v1/SnapshotRef.js';

export interface AgentEventInput {
  'ready'?: (_locmoe_coordinator_v1_ReadyInput | null);
  'heartbeat'?: (_locmoe_coordinator_v1_HeartbeatInput | null);
  'step'?: (_locmoe_coordinator_v1_StepReportInput | null);
  'validation'?: (_locmoe_coordinator_v1_ValidationReportInput | null);
  'failure'?: (_locmoe_coordinator_v1_WorkerFailureInput | null);
  'logs'?: (_locmoe_coordinator_v1_LogBatchInput | null);
  'finished'?: (_locmoe_coordinator_v1_FinishedInput | null);
  'stop'?: (_locmoe_coordinator_v1_StopRequestInput | null);
  'leaving'?: (_locmoe_coordinator_v1_LeavingInput | null);
  'saving'?: (_locmoe_coordinator_v1_SaveIntentInput | null);
  'shards'?: (_locmoe_coordinator_v1_ShardReportInput | null);
  'snapshot'?: (_locmoe_coordinator_v1_SnapshotRefInput | null);
  'event'?: "ready"|"heartbeat"|"step"|"validation"|"failure"|"logs"|"finished"|"stop"|"leaving"|"saving"|"shards"|"snapshot";
}

/**
 * A node agent's side of the session.
 */
export type AgentEvent = OneOf<AgentEventFields, 'event'>;

interface AgentEventFields {
  'ready'?: (_locmoe_coordinator_v1_Ready | null);
  'heartbeat'?: (_locmoe_coordinator_v1_Heartbeat | null);
  'step'?: (_locmoe_coordinator_v1_StepReport | null);
  'validation'?: (_locmoe_coordinator_v1_ValidationReport | null);
  'failure'?: (_locmoe_coordinator_v1_WorkerFailure | null);
  'logs'?: (_locmoe_coordinator_v1_LogBatch | null);
  'finished'?: (_locmoe_coordinator_v1_Finished | null);
  'stop'?: (_locmoe_coordinator_v1_StopRequest | null);
  'leaving'?: (_locmoe_coordinator_v1_Leaving | null);
  'saving'?: (_locmoe_coordinator_v1_SaveIntent | null);
  'shards'?: (_locmoe_coordinator_v1_ShardReport | null);
  'snapshot'?: (_locmoe_coordinator_v1_SnapshotRef | null);
  'event'?: "ready"|"heartbeat"|"step"|"validation"|"failure"|"logs"|"finished"|"stop"|"leaving"|"saving"|"shards"|"snapshot";
}
