// Original file: proto/coordinator.proto


export interface RejoinInput {
}

/**
 * The run goes on with another generation; leave this one and join that.
 */
export interface Rejoin {
}
