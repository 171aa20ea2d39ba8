// Original file: proto/collectives.proto


export interface CreditInput {
  'consumed'?: (number)[];
}

export interface Credit {
  /**
   * Triples (source rank, destination rank, bytes of that pair consumed so far modulo 2^32).
   */
  'consumed': (number)[];
}
