// Original file: proto/coordinator.proto

import type { Long } from '@grpc/proto-loader';

export interface ShardFileInput {
  'file'?: (string);
  'bytes'?: (number | string | Long);
  'sha256'?: (string);
  'tensors'?: (string)[];
}

/**
 * A file of a checkpoint.
 */
export interface ShardFile {
  'file': (string);
  'bytes': (number);
  /**
   * The SHA-256 of its bytes, in hex.
   */
  'sha256': (string);
  /**
   * The names of the tensors in it.
   */
  'tensors': (string)[];
}
