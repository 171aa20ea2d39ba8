// Original file: proto/coordinator.proto


export interface DomainLossInput {
  'domain'?: (string);
  'loss'?: (number | string);
  'tokens'?: (number);
}

export interface DomainLoss {
  'domain': (string);
  /**
   * The mean cross-entropy in nats per token.
   */
  'loss': (number);
  'tokens': (number);
}
