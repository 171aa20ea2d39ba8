import type { RunConfig } from '../config/schema.js';
import type { PrepareProgress } from '../data/prepare/progress-meter.js';
import { assignments, type TrainOptions } from './training.js';

export interface PrepareOptions extends Pick<TrainOptions, 'config' | 'text' | 'set' | 'dataDir' | 'signal'> {
  /** Called with bytes done and left while text is read. */
  readonly onProgress?: (progress: PrepareProgress) => void;
}

/** A domain of a prepared dataset. */
export interface PreparedDomain {
  readonly name: string;
  /** Tokens to train on, and tokens that are kept for validation. */
  readonly trainTokens: number;
  readonly validationTokens: number;
  /** Loss of the best model without context on the validation text, in nats per token. */
  readonly unigramEntropy: number;
}

/** Token ids of a text on disk, for any training run with the same settings of `data`. */
export interface PreparedText {
  readonly directory: string;
  /** Path of the dataset's tokenizer.json (HuggingFace format). */
  readonly tokenizerFile: string;
  readonly domains: readonly PreparedDomain[];
  /** Configuration for a training run on this text; for `text`, a recipe of its size. */
  readonly config: RunConfig;
}

/**
 * Reads, deduplicates and tokenizes the text of a configuration, or the caller's files, as `train` would before its
 * first step. An existing dataset is checked and reused.
 *
 * @throws TrainerError `BAD_CONFIG`, `BAD_INPUT` or `NO_RESOURCE`; the reason of `signal`
 * @example
 * ```js
 * const { domains } = await prepareText({ text: ['notes/*.md'] });
 * console.log(domains[0].trainTokens);
 * ```
 */
export async function prepareText(options: PrepareOptions): Promise<PreparedText> {
  const { config, text, set = {}, dataDir = 'data', onProgress = () => undefined } = options;
  // Given an AbortSignal, the preparation does not listen for the signals of this process.
  const { signal = new AbortController().signal } = options;
  signal.throwIfAborted();
  const { prepareData, prepareText: prepareFiles } = await import('../coordinator/planning/prepare-text.js');
  const { loadConfig } = await import('../config/resolve.js');
  const { TrainerError } = await import('../errors.js');
  const overrides = { sets: assignments(set) };
  const view = { say: () => undefined, progress: onProgress, signal };
  if ((text === undefined) === (config === undefined))
    throw new TrainerError('BAD_INPUT', 'give one of config and text');
  const prepareConfigured = async (resolved: RunConfig) => ({
    config: resolved,
    dataset: await prepareData(resolved, dataDir, view),
  });
  const { dataset, config: prepared } =
    text === undefined
      ? await prepareConfigured(loadConfig(config!, overrides))
      : await prepareFiles(text, overrides, dataDir, view);
  dataset.close();
  return {
    directory: dataset.dir,
    tokenizerFile: dataset.tokenizerFile,
    domains: dataset.domains.map(({ name, train, validation, validationEntropy }) => ({
      name,
      trainTokens: train.ids.length,
      validationTokens: validation.ids.length,
      unigramEntropy: validationEntropy,
    })),
    config: prepared,
  };
}
