// Original file: proto/coordinator.proto


export interface FarewellInput {
}

/**
 * The run has ended; leave.
 */
export interface Farewell {
}
