import { lossesOf } from '@locmoe/bench/internal/gate/figures';
import { sum } from '@locmoe/bench/internal/statistics';
import { openCheckpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { committedFolders } from 'locmoe/internal/checkpoint/folders';
import type { ValidationBatch } from 'locmoe/internal/data/batch';
import type { Dataset } from 'locmoe/internal/data/dataset';
import { createLoader } from 'locmoe/internal/data/loader';
import { evaluate, openInference } from 'locmoe/internal/inference/inference';
import type { Run } from './runs.js';

/** Number of sequences evaluated at once. */
const BATCH = 64;

/**
 * Evaluates the last checkpoint of a run on the test text, by the causal rule, in this process and in float32.
 *
 * @throws TrainerError `BAD_CHECKPOINT` if it is damaged, `NOT_FINITE` if a loss is not finite
 */
export function testLoss(checkpointsDir: string, dataset: Dataset, numSequences: number): Run['test'] {
  const inference = openInference(openCheckpoint(committedFolders(checkpointsDir)[0]!));
  const { model, data, train, seed } = inference.config;
  try {
    const loader = createLoader({
      dataset,
      weights: data.weights,
      seed,
      seqLen: model.seqLen,
      globalBatch: BATCH,
      rank: 0,
      worldSize: 1,
    });
    const read = loader.validationBatches(train.validationSequences);
    const batches = testBatches(loader.validationBatches(Number.POSITIVE_INFINITY), read, numSequences);
    const domains = evaluate(inference, batches);
    return { ...lossesOf(domains), tokens: sum(domains.map(({ tokens }) => tokens)) };
  } finally {
    inference.model.dispose();
  }
}

/**
 * Returns the test text: held-out sequences that no validation of a run reads, and that are not adjacent to
 * one that it reads. All other sequences become padding.
 *
 * @param all every held-out sequence, domain by domain in order
 * @param read sequences that the run's validations read
 * @param numSequences maximum number of sequences of a domain, evenly spaced
 */
export function testBatches(
  all: readonly ValidationBatch[],
  read: readonly ValidationBatch[],
  numSequences: number,
): ValidationBatch[] {
  const isRead = new Set(read.flatMap((batch) => rowsOf(batch).map(({ name }) => name)));
  const free = all
    .flatMap(rowsOf)
    .filter(({ domain, index }) => ![-1, 0, 1].some((by) => isRead.has(`${domain} ${index + by}`)));
  const chosen = new Set(
    [...new Set(free.map(({ domain }) => domain))].flatMap((domain) => {
      const own = free.filter((row) => row.domain === domain);
      const taken = Math.min(numSequences, own.length);
      return Array.from({ length: taken }, (_, i) => own[Math.floor((i * own.length) / taken)]!.name);
    }),
  );
  return all.flatMap((batch) => {
    const valid = new Uint8Array(batch.numSequences);
    for (const { row, name } of rowsOf(batch)) if (chosen.has(name)) valid[row] = 1;
    return valid.includes(1) ? [{ ...batch, valid }] : [];
  });
}

/** Returns the rows of a batch that are not padding, with their index among the held-out sequences of their domain. */
function rowsOf({ domains, valid, ranges, seqLen }: ValidationBatch) {
  return [...valid.keys()]
    .filter((row) => valid[row] === 1)
    .map((row) => {
      const domain = domains[row]!;
      const index = ranges[row]![0]!.begin / seqLen;
      return { row, domain, index, name: `${domain} ${index}` };
    });
}
