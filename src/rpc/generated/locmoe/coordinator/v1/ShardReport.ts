// Original file: proto/coordinator.proto

import type { ShardFileInput as _locmoe_coordinator_v1_ShardFileInput, ShardFile as _locmoe_coordinator_v1_ShardFile } from '../../../locmoe/coordinator/v1/ShardFile.js';

export interface ShardReportInput {
  'rank'?: (number);
  'step'?: (number);
  'generation'?: (number);
  'files'?: (_locmoe_coordinator_v1_ShardFileInput)[];
  'noRoom'?: (string);
}

/**
 * A rank has written and synced its part of a checkpoint, or failed to.
 */
export interface ShardReport {
  'rank': (number);
  'step': (number);
  'generation': (number);
  'files': (_locmoe_coordinator_v1_ShardFile)[];
  /**
   * The reason why the disk could not take the files; empty if it could.
   */
  'noRoom': (string);
}
