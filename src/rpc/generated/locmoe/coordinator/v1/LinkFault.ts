// Original file: proto/coordinator.proto


export interface LinkFaultInput {
  'seconds'?: (number | string);
  'bytesPerS'?: (number | string);
}

/**
 * The node's traffic with the coordinator and all peers is slowed down, or with 0 bytes held back.
 */
export interface LinkFault {
  'seconds': (number);
  'bytesPerS': (number);
}
