import { expect, it } from 'vitest';
import { fuzzCheckpointFiles } from '../../recovery/fuzz/checkpoints.js';
import { fuzzBothPlanes } from '../../recovery/fuzz/messages.js';
import { replayToBothPlanes } from '../../recovery/fuzz/stale.js';

// Each mutation of a checkpoint is tried twice here, and messages for a few rounds. `npm run study -- recovery --only fuzz`
// runs 10,000 of each.
const SEED = 20_261_126;

it('a mutated checkpoint is refused, passed over for the one before, or loaded exactly as it is', () => {
  expect(fuzzCheckpointFiles(76, SEED)).toEqual([]);
});

it('mutated messages neither end nor stop a coordinator or an agent, and none is taken that should not be', async () => {
  // On a busy machine an answer takes longer than on a quiet one.
  expect(await fuzzBothPlanes(80, SEED, 2_000)).toEqual([]);
});

it('what an earlier generation or another run has said is refused when it comes again', async () => {
  expect(await replayToBothPlanes(40, SEED)).toEqual([]);
});
