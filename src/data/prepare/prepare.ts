import { existsSync, rmSync } from 'node:fs';
import { asFullDisk, makeFolder, PRIVATE_FOLDER } from '../../os/make-folder.js';
import type { Dataset, DatasetIndex } from '../dataset.js';
import {
  type DataOptions,
  hasOwnText,
  openPrepared,
  type Preparation,
  planPreparation,
  publish,
  removeAbandoned,
} from './preparation.js';
import { type PrepareProgress, ProgressMeter } from './progress-meter.js';
import { writeDataset } from './write-dataset.js';

export interface PrepareOptions extends DataOptions {
  readonly log: (line: string) => void;
  /** Called with the progress on a user's own text. */
  readonly progress?: (progress: PrepareProgress) => void;
}

/**
 * Extracts, splits and tokenizes the text, or opens the dataset that an identical earlier call prepared.
 * Without a file the tokenizer is trained on the training text of the given domains.
 *
 * @throws TrainerError `BAD_INPUT` if a source is missing, a domain is unknown or repeated, the text is too
 *   small for the vocabulary or cannot be read, or the prepared dataset is damaged
 */
export async function prepareDataset(options: PrepareOptions): Promise<Dataset> {
  const preparation = planPreparation(options);
  const isNew = !existsSync(preparation.dir);
  if (isNew) await makeDataset(preparation, options);
  return openPrepared(preparation, options, isNew);
}

/**
 * Makes a dataset in a temporary folder and renames it, so that it is complete or absent; of several processes that
 * prepare the same one, the first to finish wins and the others use its result. Shards of a user's text are kept beside
 * it: an interrupted preparation continues from them, and other datasets of the same text use them.
 */
export async function makeDataset(
  preparation: Preparation,
  { log, progress = () => undefined, ...options }: PrepareOptions,
): Promise<void> {
  const { dataDir, domains } = options;
  makeFolder(dataDir, '--data-dir');
  removeAbandoned(dataDir);
  const started = performance.now();
  log(`data: preparing ${domains.join(', ')} (once for this configuration)`);
  makeFolder(preparation.work, '--data-dir', hasOwnText(options) ? PRIVATE_FOLDER : undefined);
  let index: DatasetIndex;
  try {
    index = await writeDataset(preparation, { ...options, log, meter: new ProgressMeter(progress) });
    publish(preparation);
  } catch (error) {
    throw asFullDisk(error, dataDir);
  } finally {
    rmSync(preparation.work, { recursive: true, force: true });
  }
  log(`data: ${summary(index)} in ${((performance.now() - started) / 1000).toFixed(1)} s`);
}

function summary({ domains }: DatasetIndex): string {
  const parts = domains.map(({ name, train }) => `${name} ${(train.tokens / 1000).toFixed(0)}k`);
  return `tokens for training: ${parts.join(', ')}`;
}
