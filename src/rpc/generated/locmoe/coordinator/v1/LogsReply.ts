// Original file: proto/coordinator.proto

import type { LogLineInput as _locmoe_coordinator_v1_LogLineInput, LogLine as _locmoe_coordinator_v1_LogLine } from '../../../locmoe/coordinator/v1/LogLine.js';

export interface LogsReplyInput {
  'lines'?: (_locmoe_coordinator_v1_LogLineInput)[];
  'matrixJson'?: (string);
}

/**
 * Some lines in their order, or the single reply to a metric query.
 */
export interface LogsReply {
  'lines': (_locmoe_coordinator_v1_LogLine)[];
  /**
   * The result of a metric query in Loki's matrix form; empty with lines.
   */
  'matrixJson': (string);
}
