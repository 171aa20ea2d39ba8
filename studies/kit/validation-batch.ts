import type { ValidationBatch } from 'locmoe/internal/data/batch';
import type { Dataset } from 'locmoe/internal/data/dataset';
import { createLoader } from 'locmoe/internal/data/loader';
import type { Inference } from 'locmoe/internal/inference/inference';

/** Validation text as one batch, with `numSequences` sequences of each domain. */
export function validationBatch(
  { config }: Inference,
  dataset: Dataset,
  numSequences: number,
): ValidationBatch {
  return createLoader({
    dataset,
    weights: config.data.weights,
    seed: config.seed,
    seqLen: config.model.seqLen,
    globalBatch: numSequences * dataset.domains.length,
    rank: 0,
    worldSize: 1,
  }).validationBatches(numSequences)[0]!;
}
