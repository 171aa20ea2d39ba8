// Original file: proto/coordinator.proto


export interface LogBatchInput {
  'lines'?: (string)[];
  'dropped'?: (number);
}

export interface LogBatch {
  /**
   * Each line is a JSON object.
   */
  'lines': (string)[];
  /**
   * The number of lines that the node has dropped since the batch before.
   */
  'dropped': (number);
}
