// Original file: proto/coordinator.proto


export interface WorkerFailureInput {
  'rank'?: (number);
  'pid'?: (number);
  'code'?: (string);
  'message'?: (string);
  'step'?: (number);
  'layer'?: (number);
  'operation'?: (string);
  'timeMs'?: (number | string);
  'exitCode'?: (number);
  'signal'?: (string);
}

/**
 * A worker cannot go on.
 */
export interface WorkerFailure {
  'rank': (number);
  'pid': (number);
  'code': (string);
  'message': (string);
  /**
   * The place of the failure: step, layer and operation, which are -1 or empty if they do not apply.
   */
  'step': (number);
  'layer': (number);
  'operation': (string);
  /**
   * The wall clock of the node, in ms since 1970.
   */
  'timeMs': (number);
  /**
   * The exit code of the process; -1 if it has none.
   */
  'exitCode': (number);
  /**
   * The name of the signal that ended the process; empty for none.
   */
  'signal': (string);
}
