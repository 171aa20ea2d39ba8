// Original file: proto/coordinator.proto


/**
 * Every worker of every node is ready: train.
 */
export interface BeginInput {
}

/**
 * Every worker of every node is ready: train.
 */
export interface Begin {
}
