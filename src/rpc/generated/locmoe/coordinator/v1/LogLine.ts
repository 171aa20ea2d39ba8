// Original file: proto/coordinator.proto


export interface LogLineInput {
  'json'?: (string);
  'labels'?: ({[key: string]: string});
  'timeMs'?: (number | string);
  'isContext'?: (boolean);
  'group'?: (number);
}

export interface LogLine {
  /**
   * The line as it was logged, or as the query formats it.
   */
  'json': (string);
  'labels': ({[key: string]: string});
  'timeMs': (number);
  /**
   * A line around a match, not a match itself.
   */
  'isContext': (boolean);
  /**
   * Adjacent lines of a source share it; 0 if no context was requested.
   */
  'group': (number);
}
