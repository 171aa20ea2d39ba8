// Original file: proto/collectives.proto


export interface OpenInput {
  'runId'?: (string);
  'generation'?: (number);
  'node'?: (number);
  'ringBytes'?: (number);
}

export interface Open {
  'runId': (string);
  'generation': (number);
  /**
   * The caller's node.
   */
  'node': (number);
  /**
   * Bytes that may be outstanding for each pair of ranks; must be equal on both sides.
   */
  'ringBytes': (number);
}
