// Original file: proto/coordinator.proto

import type { Long } from '@grpc/proto-loader';

export interface SaveIntentInput {
  'rank'?: (number);
  'step'?: (number);
  'generation'?: (number);
  'bytes'?: (number | string | Long);
  'isLast'?: (boolean);
  'keepStep'?: (number);
  'metrics'?: ({[key: string]: number | string});
  'sharedCrc32'?: (number);
}

/**
 * A rank has copied its part of a checkpoint. When all have, the coordinator makes the folder and says
 * WriteShards; when all have written, it commits, and says SaveEnded.
 */
export interface SaveIntent {
  'rank': (number);
  'step': (number);
  'generation': (number);
  /**
   * The bytes of this rank's tensors.
   */
  'bytes': (number);
  /**
   * No step follows, so this one must be saved.
   */
  'isLast': (boolean);
  /**
   * The step of a further checkpoint to keep; -1 for none.
   */
  'keepStep': (number);
  /**
   * The metrics for the manifest, which takes those of the first rank.
   */
  'metrics': ({[key: string]: number});
  /**
   * The CRC-32 of the parameters that all ranks share, which must be equal on all.
   */
  'sharedCrc32': (number);
}
