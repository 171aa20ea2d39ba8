// Original file: proto/coordinator.proto

import type { WorkerProgressInput as _locmoe_coordinator_v1_WorkerProgressInput, WorkerProgress as _locmoe_coordinator_v1_WorkerProgress } from '../../../locmoe/coordinator/v1/WorkerProgress.js';

export interface HeartbeatInput {
  'workers'?: (_locmoe_coordinator_v1_WorkerProgressInput)[];
  'logQueueLines'?: (number);
}

export interface Heartbeat {
  'workers': (_locmoe_coordinator_v1_WorkerProgress)[];
  /**
   * The number of log lines that are queued on the node.
   */
  'logQueueLines': (number);
}
