// Original file: proto/coordinator.proto


export interface RecordedInput {
  'step'?: (number);
}

/**
 * All ranks have done this step, and it is on disk with all before: what was reported of them is needed no more.
 */
export interface Recorded {
  'step': (number);
}
