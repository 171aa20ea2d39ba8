import { expect, it } from 'vitest';
import { NIGHTLY } from '../nightly.js';
import { fuzzCheckpointFiles } from './checkpoints.js';
import { fuzzBothPlanes } from './messages.js';
import { replayToBothPlanes } from './stale.js';

// `npm run study -- recovery --only fuzz` runs 10,000 of each.
const SEED = 20_261_126;
/** By day each mutation of a checkpoint is tried twice, and messages for a few rounds. */
const TIMES = NIGHTLY ? 5 : 1;

it('a mutated checkpoint is refused, passed over for the one before, or loaded exactly as it is', () => {
  expect(fuzzCheckpointFiles(76 * TIMES, SEED)).toEqual([]);
});

it('mutated messages neither end nor stop a coordinator or an agent, and none is taken that should not be', async () => {
  // On a busy machine an answer takes longer than on a quiet one.
  expect(await fuzzBothPlanes(80 * TIMES, SEED, 2_000)).toEqual([]);
});

it('what an earlier generation or another run has said is refused when it comes again', async () => {
  expect(await replayToBothPlanes(40 * TIMES, SEED)).toEqual([]);
});
