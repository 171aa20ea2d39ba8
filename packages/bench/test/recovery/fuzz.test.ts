import { expect, it } from 'vitest';
import { fuzzCheckpoints } from '../../src/recovery/fuzz.js';

// `npm run bench:recovery` runs 10,000 of each.
const SEED = 20_261_126;

it('a mutated checkpoint is refused, passed over for the one before, or loaded exactly as it is', () => {
  expect(fuzzCheckpoints(400, SEED)).toEqual({ count: 400, failures: [] });
});
