// Original file: proto/coordinator.proto


export interface SaveEndedInput {
  'step'?: (number);
  'committed'?: (boolean);
}

/**
 * The checkpoint is committed, or there was no room for it.
 */
export interface SaveEnded {
  'step': (number);
  'committed': (boolean);
}
