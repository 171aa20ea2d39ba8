import type { Batch, ValidationBatch } from '../../src/data/batch.js';
import { positionsOf, randomIntegers } from '../model/support.js';

const NUM_SEQUENCES = 4;
const SEQ_LEN = 6;

/** The batch of a step for `tinyConfig`, split into `parts` equal ones. */
export function batchesOf(step: number, parts = 1, wholeSequences = NUM_SEQUENCES): Batch[] {
  const length = wholeSequences * SEQ_LEN;
  const tokenIds = randomIntegers(`tokens ${step}`, length, 257);
  const targets = randomIntegers(`targets ${step}`, length, 257);
  const domains = Int32Array.from({ length: wholeSequences }, (_, i) => i % 2);
  const numSequences = wholeSequences / parts;
  const tokens = numSequences * SEQ_LEN;
  return Array.from({ length: parts }, (_, i) => ({
    numSequences,
    seqLen: SEQ_LEN,
    tokenIds: tokenIds.slice(i * tokens, (i + 1) * tokens),
    targets: targets.slice(i * tokens, (i + 1) * tokens),
    domains: domains.slice(i * numSequences, (i + 1) * numSequences),
  }));
}

/** Like `batchesOf`, but of packed samples, with a different number of counted tokens in every sequence. */
export function packedBatchesOf(step: number, parts = 1): Batch[] {
  const positions = positionsOf([2, 4], [6], [1, 3, 2], [3, 3]);
  const counted = Uint8Array.of(0, 1, 0, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 0, 1, 1, 1, 1, 0, 0, 1, 0, 0, 1);
  const length = counted.length / parts;
  return batchesOf(step, parts).map((batch, i) => {
    const own = counted.slice(i * length, (i + 1) * length);
    const numCounted = own.reduce((sum, each) => sum + each, 0);
    return {
      ...batch,
      packed: { positions: positions.slice(i * length, (i + 1) * length), counted: own, numCounted },
    };
  });
}

/** Converts a batch to a validation batch. */
export function validationBatchOf(
  batch: Batch,
  valid = new Uint8Array(batch.numSequences).fill(1),
): ValidationBatch {
  return { ...batch, valid, sequences: Int32Array.from(valid.keys()), ranges: [] };
}
