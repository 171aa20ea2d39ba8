// Original file: proto/coordinator.proto


/**
 * All workers of the node have built their model, and the streams from all other nodes are open.
 */
export interface ReadyInput {
}

/**
 * All workers of the node have built their model, and the streams from all other nodes are open.
 */
export interface Ready {
}
