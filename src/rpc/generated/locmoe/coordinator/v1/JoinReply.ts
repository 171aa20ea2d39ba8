// Original file: proto/coordinator.proto

import type { InheritanceInput as _locmoe_coordinator_v1_InheritanceInput, Inheritance as _locmoe_coordinator_v1_Inheritance } from '../../../locmoe/coordinator/v1/Inheritance.js';

export interface JoinReplyInput {
  'runId'?: (string);
  'generation'?: (number);
  'node'?: (number);
  'configJson'?: (string);
  'runDir'?: (string);
  'datasetDir'?: (string);
  'resumeFrom'?: (string);
  'initFrom'?: (string);
  'term'?: (number);
  'inheritance'?: (_locmoe_coordinator_v1_InheritanceInput | null);
}

export interface JoinReply {
  'runId': (string);
  'generation': (number);
  'node': (number);
  /**
   * The resolved run configuration (src/config/schema.ts).
   */
  'configJson': (string);
  'runDir': (string);
  'datasetDir': (string);
  /**
   * The folder of the checkpoint to start from; empty for a new run.
   */
  'resumeFrom': (string);
  /**
   * The folder of a checkpoint that gives a new run its weights alone; empty for none.
   */
  'initFrom': (string);
  /**
   * It counts the coordinator processes that have led the run.
   */
  'term': (number);
  /**
   * It says how the model grows from the dense one of init_from (checkpoint/inherit.ts); absent where it is the same model.
   */
  'inheritance': (_locmoe_coordinator_v1_Inheritance | null);
}
