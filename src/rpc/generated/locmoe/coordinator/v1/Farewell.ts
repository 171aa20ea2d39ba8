// Original file: proto/coordinator.proto


/**
 * The run has ended; leave.
 */
export interface FarewellInput {
}

/**
 * The run has ended; leave.
 */
export interface Farewell {
}
