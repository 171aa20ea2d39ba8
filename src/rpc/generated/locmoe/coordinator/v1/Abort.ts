// Original file: proto/coordinator.proto


export interface AbortInput {
  'reason'?: (string);
}

export interface Abort {
  'reason': (string);
}
