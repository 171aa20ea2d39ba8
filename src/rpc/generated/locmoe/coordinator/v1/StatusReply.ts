// Original file: proto/coordinator.proto

import type { WorkerProgressInput as _locmoe_coordinator_v1_WorkerProgressInput, WorkerProgress as _locmoe_coordinator_v1_WorkerProgress } from '../../../locmoe/coordinator/v1/WorkerProgress.js';
import type { NodeProcessInput as _locmoe_coordinator_v1_NodeProcessInput, NodeProcess as _locmoe_coordinator_v1_NodeProcess } from '../../../locmoe/coordinator/v1/NodeProcess.js';
import type { RankSpeedInput as _locmoe_coordinator_v1_RankSpeedInput, RankSpeed as _locmoe_coordinator_v1_RankSpeed } from '../../../locmoe/coordinator/v1/RankSpeed.js';

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
  /**
   * The members, by node.
   */
  'nodes'?: (_locmoe_coordinator_v1_NodeProcessInput)[];
  /**
   * The run takes InjectFault.
   */
  'allowsFaults'?: (boolean);
  /**
   * The speeds by rank; none before the first step.
   */
  'speeds'?: (_locmoe_coordinator_v1_RankSpeedInput)[];
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
}
