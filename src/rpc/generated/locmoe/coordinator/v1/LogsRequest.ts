// Original file: proto/coordinator.proto


export interface LogsRequestInput {
  'level'?: (string);
  'ranks'?: (number)[];
  'sinceMs'?: (number | string);
  'follow'?: (boolean);
  'query'?: (string);
  'before'?: (number);
  'after'?: (number);
}

export interface LogsRequest {
  /**
   * The lowest level to show: trace, debug, info, warn or error.
   */
  'level': (string);
  /**
   * The ranks to show; empty for all.
   */
  'ranks': (number)[];
  /**
   * The wall clock to begin at, in ms since 1970; 0 for the beginning.
   */
  'sinceMs': (number);
  'follow': (boolean);
  /**
   * A LogQL query over this run; empty for all lines.
   */
  'query': (string);
  /**
   * The number of lines of the same source to show before each line that matches.
   */
  'before': (number);
  /**
   * The number of such lines to show after it.
   */
  'after': (number);
}
