// Original file: proto/coordinator.proto


export interface FailpointFaultInput {
  'rank'?: (number);
  'specification'?: (string);
}

/**
 * Arms a failpoint in a worker of the node.
 */
export interface FailpointFault {
  'rank': (number);
  /**
   * src/failpoint.ts describes the syntax.
   */
  'specification': (string);
}
