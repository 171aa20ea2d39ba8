// Original file: proto/coordinator.proto

import type { PeerInput as _locmoe_coordinator_v1_PeerInput, Peer as _locmoe_coordinator_v1_Peer } from '../../../locmoe/coordinator/v1/Peer.js';
import type { SnapshotRefInput as _locmoe_coordinator_v1_SnapshotRefInput, SnapshotRef as _locmoe_coordinator_v1_SnapshotRef } from '../../../locmoe/coordinator/v1/SnapshotRef.js';

export interface StartInput {
  'peers'?: (_locmoe_coordinator_v1_PeerInput)[];
  'snapshot'?: (_locmoe_coordinator_v1_SnapshotRefInput | null);
  'snapshotHolders'?: (string)[];
}

/**
 * All nodes have joined: create the segment, start the workers, connect to the peers.
 */
export interface Start {
  'peers': (_locmoe_coordinator_v1_Peer)[];
  /**
   * The state to start from instead of the checkpoint.
   */
  'snapshot': (_locmoe_coordinator_v1_SnapshotRef | null);
  /**
   * For each node of the layout in which the snapshot was taken the address of an agent that holds its state; none if the
   * layout is the same.
   */
  'snapshotHolders': (string)[];
}
