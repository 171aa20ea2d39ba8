import { configAtHand } from '../checkpoint/checkpoint.js';
import { type Preparation, prepareData } from '../coordinator/planning/prepare-text.js';
import type { ValidationBatch } from '../data/batch.js';
import type { Dataset } from '../data/dataset.js';
import { createLoader } from '../data/loader.js';
import { TrainerError } from '../errors.js';
import type { Inference } from '../inference/inference.js';
import type { DomainLoss } from '../rpc/generated/messages.js';

/**
 * Opens the text that a checkpoint was trained on, and prepares it again if it is not in the folder.
 *
 * @throws TrainerError `BAD_CHECKPOINT` if the text has another tokenizer now
 */
export async function openText(
  { checkpoint, config: { model } }: Pick<Inference, 'checkpoint' | 'config'>,
  dataDir: string,
  view: Preparation,
): Promise<Dataset> {
  const { data } = configAtHand(checkpoint);
  const dataset = await prepareData({ data, model }, dataDir, view, checkpoint.tokenizerFile);
  const { tokenizerSha256 } = checkpoint.manifest;
  if (dataset.tokenizerSha256 !== tokenizerSha256)
    throw new TrainerError(
      'BAD_CHECKPOINT',
      `checkpoint ${checkpoint.folder} was trained with tokenizer ${tokenizerSha256.slice(0, 12)}, the data in ${dataset.dir} uses ${dataset.tokenizerSha256.slice(0, 12)}`,
    );
  return dataset;
}

/**
 * Computes the loss of each domain on the training run's validation sequences, or on the requested number.
 *
 * @throws TrainerError as `evaluate`
 */
export async function validationLosses(
  inference: Inference,
  dataset: Dataset,
  sequences: number | undefined,
  routes = 'router',
): Promise<DomainLoss[]> {
  const { evaluate } = await import('../inference/inference.js');
  const batches = validationBatches(inference, dataset, sequences);
  if (routes === 'router') return evaluate(inference, batches);
  const { drawnOrRecorded } = await import('../worker/route-source.js');
  const { validationPlaced } = await import('../worker/placed-batch.js');
  const source = drawnOrRecorded(
    inference.config,
    routes,
    () => new Map([[null, [routes]]]),
    inference.model.communicator.transport,
  );
  return evaluate(inference, batches, { changes: await source.changesOf(0, validationPlaced(batches)) });
}

/** Returns the batches of a validation, in the order of the validation's sequences. */
export function validationBatches(
  { config }: Pick<Inference, 'config'>,
  dataset: Dataset,
  sequences: number | undefined,
): ValidationBatch[] {
  const loader = createLoader({
    dataset,
    weights: config.data.weights,
    seed: config.seed,
    globalBatch: config.train.globalBatch / config.train.microBatches,
    seqLen: config.model.seqLen,
    rank: 0,
    worldSize: 1,
  });
  return loader.validationBatches(sequences ?? config.train.validationSequences);
}
