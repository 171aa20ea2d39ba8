// Original file: proto/coordinator.proto


export interface JoinRequestInput {
  'host'?: (string);
  'pid'?: (number);
  'dataAddress'?: (string);
  'version'?: (string);
  'formerNode'?: (number);
  '_formerNode'?: "formerNode";
}

export interface JoinRequest {
  'host': (string);
  'pid': (number);
  /**
   * Where this node serves collectives.proto to its peers, host:port.
   */
  'dataAddress': (string);
  /**
   * The version of the locmoe package, which must be the coordinator's own.
   */
  'version': (string);
  /**
   * The node that this process was in the generation before; absent if it was none.
   */
  'formerNode'?: (number);
  '_formerNode'?: "formerNode";
}
