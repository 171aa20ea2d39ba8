// Original file: proto/coordinator.proto


export interface ExamineInput {
  'rank'?: (number);
  'reason'?: (string);
}

/**
 * A worker of the node seems stuck: find out where, report it as failed, and kill it.
 */
export interface Examine {
  'rank': (number);
  /**
   * The reason why it seems so.
   */
  'reason': (string);
}
