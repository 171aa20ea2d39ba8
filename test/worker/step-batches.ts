import type { Batch } from '../../src/data/batch.js';
import { randomIntegers } from '../model/support.js';

const NUM_SEQUENCES = 4;
const SEQ_LEN = 6;

/** The batch of a step for `tinyConfig`, split into `parts` equal ones. */
export function batchesOf(step: number, parts = 1): Batch[] {
  const length = NUM_SEQUENCES * SEQ_LEN;
  const tokenIds = randomIntegers(`tokens ${step}`, length, 257);
  const targets = randomIntegers(`targets ${step}`, length, 257);
  const domains = Int32Array.of(0, 1, 0, 1);
  const numSequences = NUM_SEQUENCES / parts;
  const tokens = numSequences * SEQ_LEN;
  return Array.from({ length: parts }, (_, i) => ({
    numSequences,
    seqLen: SEQ_LEN,
    tokenIds: tokenIds.slice(i * tokens, (i + 1) * tokens),
    targets: targets.slice(i * tokens, (i + 1) * tokens),
    domains: domains.slice(i * numSequences, (i + 1) * numSequences),
  }));
}
