// Original file: proto/coordinator.proto

import type { SnapshotRefInput as _locmoe_coordinator_v1_SnapshotRefInput, SnapshotRef as _locmoe_coordinator_v1_SnapshotRef } from '../../../locmoe/coordinator/v1/SnapshotRef.js';

export interface LeavingInput {
  'snapshots'?: (_locmoe_coordinator_v1_SnapshotRefInput)[];
}

/**
 * The agent is about to close its session, after the end or the abort of the run.
 */
export interface Leaving {
  /**
   * The local snapshots that it holds: the state of its own ranks, of which no other node has a copy.
   */
  'snapshots': (_locmoe_coordinator_v1_SnapshotRef)[];
}
