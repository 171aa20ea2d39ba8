import { fuzzCheckpointFiles } from './fuzz/checkpoints.js';

/** What came of a number of random cases. */
export interface FuzzResult {
  readonly count: number;
  /** A line for each case that went wrong, with the seed and its number. */
  readonly failures: readonly string[];
}

/** Loads `count` mutated checkpoints: each is refused or loaded as it is, never in part. */
export function fuzzCheckpoints(count: number, seed: number): FuzzResult {
  return { count, failures: fuzzCheckpointFiles(count, seed) };
}
