// Original file: proto/coordinator.proto


export interface ReadyInput {
}

/**
 * All workers of the node have built their model, and the streams from all other nodes are open.
 */
export interface Ready {
}
