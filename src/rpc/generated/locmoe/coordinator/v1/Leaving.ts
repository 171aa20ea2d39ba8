// Original file: proto/coordinator.proto


/**
 * The agent is about to close its session, after the end or the abort of the run.
 */
export interface LeavingInput {
}

/**
 * The agent is about to close its session, after the end or the abort of the run.
 */
export interface Leaving {
}
