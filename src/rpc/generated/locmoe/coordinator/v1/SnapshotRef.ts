// Original file: proto/coordinator.proto


export interface SnapshotRefInput {
  'generation'?: (number);
  'step'?: (number);
}

/**
 * A copy of the ranks' state after `step` in the memory of the nodes. As an event it says that this node holds its ranks'
 * part, and a copy of its neighbour's.
 */
export interface SnapshotRef {
  /**
   * The generation that took it.
   */
  'generation': (number);
  'step': (number);
}
