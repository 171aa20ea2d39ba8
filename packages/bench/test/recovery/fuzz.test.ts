import { expect, it } from 'vitest';
import { fuzzCheckpoints, fuzzMessages, replayStale } from '../../src/recovery/fuzz.js';

// `npm run bench:recovery` runs 10,000 of each.
const SEED = 20_261_126;

it('a mutated checkpoint is refused, passed over for the one before, or loaded exactly as it is', () => {
  expect(fuzzCheckpoints(400, SEED)).toEqual({ count: 400, failures: [] });
});

it('mutated messages neither end nor stop a coordinator or an agent, and none is taken that should not be', async () => {
  // On a busy machine an answer takes longer than on the quiet one of the bench.
  expect(await fuzzMessages(800, SEED, 2_000)).toEqual({ count: 800, failures: [] });
});

it('what an earlier generation or another run has said is refused when it comes again', async () => {
  expect(await replayStale(300, SEED)).toEqual({ count: 300, failures: [] });
});
