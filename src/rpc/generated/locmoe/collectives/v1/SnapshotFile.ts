// Original file: proto/collectives.proto

import type { Long } from '@grpc/proto-loader';

export interface SnapshotFileInput {
  'file'?: (string);
  'bytes'?: (number | string | Long);
  'sha256'?: (string);
  'tensors'?: (string)[];
  'metrics'?: ({[key: string]: number | string});
}

export interface SnapshotFile {
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
  /**
   * The metrics of the snapshot, the same with each file.
   */
  'metrics': ({[key: string]: number});
}
