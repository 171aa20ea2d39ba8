// Original file: proto/coordinator.proto


export interface WriteShardsInput {
  'step'?: (number);
}

/**
 * The folder of the checkpoint is there.
 */
export interface WriteShards {
  'step': (number);
}
