// Original file: proto/collectives.proto


export interface FetchRequestInput {
  'runId'?: (string);
  'generation'?: (number);
  'snapshotGeneration'?: (number);
  'step'?: (number);
  'node'?: (number);
  'withShared'?: (boolean);
}

export interface FetchRequest {
  'runId': (string);
  /**
   * The generation of the requesting node.
   */
  'generation': (number);
  /**
   * The generation of the snapshot.
   */
  'snapshotGeneration': (number);
  'step': (number);
  /**
   * The node whose experts are requested.
   */
  'node': (number);
  /**
   * True to include the parameters that all ranks share.
   */
  'withShared': (boolean);
}
