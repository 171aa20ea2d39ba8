import type { OneOf } from '../../../../one-of.js';
// Original file: proto/collectives.proto

import type { SnapshotFileInput as _locmoe_collectives_v1_SnapshotFileInput, SnapshotFile as _locmoe_collectives_v1_SnapshotFile } from '../../../locmoe/collectives/v1/SnapshotFile.js';

export interface FetchChunkInput {
  'file'?: (_locmoe_collectives_v1_SnapshotFileInput | null);
  'data'?: (Buffer | Uint8Array | string);
  'chunk'?: "file"|"data";
}

export type FetchChunk = OneOf<FetchChunkFields, 'chunk'>;

interface FetchChunkFields {
  /**
   * Its bytes follow, up to the next file.
   */
  'file'?: (_locmoe_collectives_v1_SnapshotFile | null);
  /**
   * At most 1 MiB.
   */
  'data'?: (Buffer);
  'chunk'?: "file"|"data";
}
