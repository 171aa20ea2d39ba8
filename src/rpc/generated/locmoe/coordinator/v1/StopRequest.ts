// Original file: proto/coordinator.proto


export interface StopRequestInput {
  'reason'?: (string);
}

export interface StopRequest {
  'reason': (string);
}
