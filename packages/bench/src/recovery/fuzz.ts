import { fuzzCheckpointFiles } from './fuzz/checkpoints.js';
import { fuzzBothPlanes } from './fuzz/messages.js';
import { replayToBothPlanes } from './fuzz/stale.js';

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

/** A valid call right after mutated ones is answered within this, on a quiet machine. */
const ANSWER_MS = 50;

/**
 * Sends `count` mutated messages to a live coordinator and a live agent: none ends or stops them, none is taken that should not
 * be.
 *
 * @param answerMs how long a valid call right after them may take
 */
export async function fuzzMessages(count: number, seed: number, answerMs = ANSWER_MS): Promise<FuzzResult> {
  return { count, failures: await fuzzBothPlanes(count, seed, answerMs) };
}

/** Replays `count` messages of earlier generations and other runs on both planes: none is taken. */
export async function replayStale(count: number, seed: number): Promise<FuzzResult> {
  return { count, failures: await replayToBothPlanes(count, seed) };
}
