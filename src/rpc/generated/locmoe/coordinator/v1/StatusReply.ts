// Original file: proto/coordinator.proto

import type { WorkerProgressInput as _locmoe_coordinator_v1_WorkerProgressInput, WorkerProgress as _locmoe_coordinator_v1_WorkerProgress } from '../../../locmoe/coordinator/v1/WorkerProgress.js';
import type { NodeProcessInput as _locmoe_coordinator_v1_NodeProcessInput, NodeProcess as _locmoe_coordinator_v1_NodeProcess } from '../../../locmoe/coordinator/v1/NodeProcess.js';
import type { RankSpeedInput as _locmoe_coordinator_v1_RankSpeedInput, RankSpeed as _locmoe_coordinator_v1_RankSpeed } from '../../../locmoe/coordinator/v1/RankSpeed.js';
import type { Long } from '@grpc/proto-loader';

export interface StatusReplyInput {
  'runId'?: (string);
  'generation'?: (number);
  'state'?: (string);
  'runDir'?: (string);
  'step'?: (number);
  'steps'?: (number);
  'loss'?: (number | string);
  'tokensPerS'?: (number | string);
  'secondsLeft'?: (number | string);
  'workers'?: (_locmoe_coordinator_v1_WorkerProgressInput)[];
  'nodes'?: (_locmoe_coordinator_v1_NodeProcessInput)[];
  'allowsFaults'?: (boolean);
  'speeds'?: (_locmoe_coordinator_v1_RankSpeedInput)[];
  'notRecordingSinceMs'?: (number | string);
  'lostRecords'?: (number | string | Long);
  'failedCheckpoints'?: (number);
  'restartStep'?: (number);
  'restartsFrom'?: (string);
}

export interface StatusReply {
  'runId': (string);
  'generation': (number);
  'state': (string);
  'runDir': (string);
  'step': (number);
  'steps': (number);
  'loss': (number);
  'tokensPerS': (number);
  'secondsLeft': (number);
  'workers': (_locmoe_coordinator_v1_WorkerProgress)[];
  /**
   * The members, by node.
   */
  'nodes': (_locmoe_coordinator_v1_NodeProcess)[];
  /**
   * The run takes InjectFault.
   */
  'allowsFaults': (boolean);
  /**
   * The speeds by rank; none before the first step.
   */
  'speeds': (_locmoe_coordinator_v1_RankSpeed)[];
  /**
   * The disk has been too full for the run's records since then, in ms since 1970; 0 while all are written.
   */
  'notRecordingSinceMs': (number);
  /**
   * Records that were lost so.
   */
  'lostRecords': (number);
  /**
   * Checkpoints since the last one that was saved for which the disk had no room.
   */
  'failedCheckpoints': (number);
  /**
   * The step that a restart would go on from now, and where it would find its state: snapshot, checkpoint or nothing.
   */
  'restartStep': (number);
  'restartsFrom': (string);
}
