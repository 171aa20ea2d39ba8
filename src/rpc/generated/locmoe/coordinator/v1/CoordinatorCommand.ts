import type { OneOf } from '../../../../one-of.js';
// Original file: proto/coordinator.proto

import type { StartInput as _locmoe_coordinator_v1_StartInput, Start as _locmoe_coordinator_v1_Start } from '../../../locmoe/coordinator/v1/Start.js';
import type { BeginInput as _locmoe_coordinator_v1_BeginInput, Begin as _locmoe_coordinator_v1_Begin } from '../../../locmoe/coordinator/v1/Begin.js';
import type { AbortInput as _locmoe_coordinator_v1_AbortInput, Abort as _locmoe_coordinator_v1_Abort } from '../../../locmoe/coordinator/v1/Abort.js';
import type { StopRequestInput as _locmoe_coordinator_v1_StopRequestInput, StopRequest as _locmoe_coordinator_v1_StopRequest } from '../../../locmoe/coordinator/v1/StopRequest.js';
import type { FarewellInput as _locmoe_coordinator_v1_FarewellInput, Farewell as _locmoe_coordinator_v1_Farewell } from '../../../locmoe/coordinator/v1/Farewell.js';
import type { WriteShardsInput as _locmoe_coordinator_v1_WriteShardsInput, WriteShards as _locmoe_coordinator_v1_WriteShards } from '../../../locmoe/coordinator/v1/WriteShards.js';
import type { SaveEndedInput as _locmoe_coordinator_v1_SaveEndedInput, SaveEnded as _locmoe_coordinator_v1_SaveEnded } from '../../../locmoe/coordinator/v1/SaveEnded.js';
import type { RejoinInput as _locmoe_coordinator_v1_RejoinInput, Rejoin as _locmoe_coordinator_v1_Rejoin } from '../../../locmoe/coordinator/v1/Rejoin.js';
import type { ExamineInput as _locmoe_coordinator_v1_ExamineInput, Examine as _locmoe_coordinator_v1_Examine } from '../../../locmoe/coordinator/v1/Examine.js';
import type { RecordedInput as _locmoe_coordinator_v1_RecordedInput, Recorded as _locmoe_coordinator_v1_Recorded } from '../../../locmoe/coordinator/v1/Recorded.js';
import type { FaultInput as _locmoe_coordinator_v1_FaultInput, Fault as _locmoe_coordinator_v1_Fault } from '../../../locmoe/coordinator/v1/Fault.js';

export interface CoordinatorCommandInput {
  'start'?: (_locmoe_coordinator_v1_StartInput | null);
  'begin'?: (_locmoe_coordinator_v1_BeginInput | null);
  'abort'?: (_locmoe_coordinator_v1_AbortInput | null);
  'stop'?: (_locmoe_coordinator_v1_StopRequestInput | null);
  'farewell'?: (_locmoe_coordinator_v1_FarewellInput | null);
  'writeShards'?: (_locmoe_coordinator_v1_WriteShardsInput | null);
  'saveEnded'?: (_locmoe_coordinator_v1_SaveEndedInput | null);
  'rejoin'?: (_locmoe_coordinator_v1_RejoinInput | null);
  'examine'?: (_locmoe_coordinator_v1_ExamineInput | null);
  'recorded'?: (_locmoe_coordinator_v1_RecordedInput | null);
  'fault'?: (_locmoe_coordinator_v1_FaultInput | null);
  'command'?: "start"|"begin"|"abort"|"stop"|"farewell"|"writeShards"|"saveEnded"|"rejoin"|"examine"|"recorded"|"fault";
}

/**
 * The coordinator's side of the session.
 */
export type CoordinatorCommand = OneOf<CoordinatorCommandFields, 'command'>;

interface CoordinatorCommandFields {
  'start'?: (_locmoe_coordinator_v1_Start | null);
  'begin'?: (_locmoe_coordinator_v1_Begin | null);
  'abort'?: (_locmoe_coordinator_v1_Abort | null);
  'stop'?: (_locmoe_coordinator_v1_StopRequest | null);
  'farewell'?: (_locmoe_coordinator_v1_Farewell | null);
  'writeShards'?: (_locmoe_coordinator_v1_WriteShards | null);
  'saveEnded'?: (_locmoe_coordinator_v1_SaveEnded | null);
  'rejoin'?: (_locmoe_coordinator_v1_Rejoin | null);
  'examine'?: (_locmoe_coordinator_v1_Examine | null);
  'recorded'?: (_locmoe_coordinator_v1_Recorded | null);
  'fault'?: (_locmoe_coordinator_v1_Fault | null);
  'command'?: "start"|"begin"|"abort"|"stop"|"farewell"|"writeShards"|"saveEnded"|"rejoin"|"examine"|"recorded"|"fault";
}
