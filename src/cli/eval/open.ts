import path from 'node:path';
import { type Checkpoint, configAtHand, resolveCheckpoint } from '../../checkpoint/checkpoint.js';
import { CORPUS_DIR } from '../../data/built-in/corpora.js';
import type { Dataset } from '../../data/dataset.js';
import { prepareAside } from '../../data/prepare/prepare-aside.js';
import { TrainerError } from '../../errors.js';
import type { Inference } from '../../inference/inference.js';
import { type PreparationView, preparationViewOn } from '../preparation-view.js';

/** @throws TrainerError as `resolveCheckpoint` */
export function openCheckpoint(folder: string): Checkpoint {
  return resolveCheckpoint(folder, (warning) => console.error(`locmoe: ${warning}`));
}

export interface TextPreparation extends Pick<PreparationView, 'say' | 'progress'> {
  /** Ends the preparation in place of this process's signals. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Opens the text that a checkpoint was trained on, and prepares it again if it is not in the folder.
 *
 * @throws TrainerError `BAD_CHECKPOINT` if the text has another tokenizer now
 */
export async function openText(
  { checkpoint, config }: Pick<Inference, 'checkpoint' | 'config'>,
  dataDir: string,
  { say, progress, signal }: TextPreparation = preparationViewOn(process.stderr),
): Promise<Dataset> {
  const dataset = await prepareAside({
    ...configAtHand(checkpoint).data,
    dataDir: path.resolve(dataDir),
    corpusDir: CORPUS_DIR,
    vocabSize: config.model.vocabSize,
    modelTokenizer: checkpoint.tokenizerFile,
    log: say,
    progress,
    signal,
  });
  if (dataset.tokenizerSha256 !== checkpoint.manifest.tokenizerSha256)
    throw new TrainerError(
      'BAD_CHECKPOINT',
      `checkpoint ${checkpoint.folder} was trained with tokenizer ${checkpoint.manifest.tokenizerSha256.slice(0, 12)}, the data in ${dataset.dir} uses ${dataset.tokenizerSha256.slice(0, 12)}`,
    );
  return dataset;
}
