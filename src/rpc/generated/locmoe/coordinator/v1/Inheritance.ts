// Original file: proto/coordinator.proto

import type { Long } from '@grpc/proto-loader';

export interface InheritanceInput {
  'noise'?: (number | string);
  'seed'?: (number | string | Long);
}

/**
 * Experts start as copies of the dense model's feed-forward networks with noise.
 */
export interface Inheritance {
  /**
   * The standard deviation of normal noise, as a share of the root mean square of the matrix that it is added to; 0 for
   * exact copies.
   */
  'noise': (number);
  'seed': (number);
}
