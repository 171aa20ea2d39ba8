// Original file: proto/coordinator.proto


export interface RankSpeedInput {
  'rank'?: (number);
  'p50Ms'?: (number | string);
  'p99Ms'?: (number | string);
  'lostShare'?: (number | string);
}

/**
 * A rank's own part of the last 200 steps, without waiting for others, nor for a processor.
 */
export interface RankSpeed {
  'rank': (number);
  'p50Ms': (number);
  'p99Ms': (number);
  /**
   * The share of the steps' time that would be saved if the rank were as fast as the next slowest in each.
   */
  'lostShare': (number);
}
