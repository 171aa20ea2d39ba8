// Original file: proto/coordinator.proto


export interface BeginInput {
}

/**
 * Every worker of every node is ready: train.
 */
export interface Begin {
}
