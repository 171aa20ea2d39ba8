// Original file: proto/coordinator.proto


export interface NodeProcessInput {
  'node'?: (number);
  'host'?: (string);
  'pid'?: (number);
}

/**
 * A node agent's process.
 */
export interface NodeProcess {
  'node': (number);
  'host': (string);
  'pid': (number);
}
