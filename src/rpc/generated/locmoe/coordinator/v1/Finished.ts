// Original file: proto/coordinator.proto


export interface FinishedInput {
  'stoppedEarly'?: (boolean);
}

/**
 * All workers of the node have ended well.
 */
export interface Finished {
  'stoppedEarly': (boolean);
}
