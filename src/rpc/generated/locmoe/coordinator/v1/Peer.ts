// Original file: proto/coordinator.proto


export interface PeerInput {
  'node'?: (number);
  'address'?: (string);
  'host'?: (string);
}

export interface Peer {
  'node': (number);
  /**
   * host:port of its agent's gRPC server.
   */
  'address': (string);
  /**
   * The name of its machine, for messages.
   */
  'host': (string);
}
