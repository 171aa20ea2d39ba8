import { existsSync, rmSync } from 'node:fs';
import { type ErrorCode, TrainerError } from '../../errors.js';
import { interruptible } from '../../os/on-signals.js';
import { startThread } from '../../os/start-thread.js';
import { sha256 } from '../../sha256.js';
import { type Dataset, readIndex, TOKENIZER_FILE } from '../dataset.js';
import { readTokenizerFile } from '../tokenizer/tokenizer-file.js';
import {
  type DataOptions,
  hasOwnText,
  openPrepared,
  type Preparation,
  planPreparation,
} from './preparation.js';
import type { PrepareOptions } from './prepare.js';
import type { PrepareProgress } from './progress-meter.js';

/** Input of the preparation thread. */
export interface PrepareWork {
  readonly options: DataOptions;
  readonly preparation: Preparation;
}

/** A message of the preparation thread. */
export type PrepareMessage =
  | { readonly line: string }
  | { readonly progress: PrepareProgress }
  | { readonly failure: { readonly code: ErrorCode; readonly message: string } };

interface AsideOptions extends PrepareOptions {
  /** Tokenizer of the model that is to be trained further or evaluated, if there is one. */
  readonly modelTokenizer?: string | undefined;
  /** Ends the preparation in place of this process's signals; its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs `prepareDataset` on another thread, so that a signal can end it at once; of an unfinished dataset, only complete
 * shards are kept, for the next call.
 *
 * @throws TrainerError as `prepareDataset`, or `INTERRUPTED`; the reason of `signal`
 */
export async function prepareAside({ modelTokenizer, signal, ...asked }: AsideOptions): Promise<Dataset> {
  const planned = planPreparation(asked);
  // A tokenizer that is trained on the user's text may differ from the model's, as the text may have changed since.
  const isFixed = modelTokenizer !== undefined && asked.tokenizer === 'train' && hasOwnText(asked);
  const options = isFixed ? { ...asked, tokenizer: modelTokenizer } : asked;
  const preparation =
    isFixed && !hasTokenizer(planned.dir, modelTokenizer) ? planPreparation(options) : planned;
  const isNew = !existsSync(preparation.dir);
  if (isNew)
    try {
      const prepare = (ended: AbortSignal) => prepareOnThread(options, preparation, ended);
      if (signal === undefined) await interruptible('ended while the data were prepared', prepare);
      else await prepare(signal);
      signal?.throwIfAborted();
    } finally {
      // A terminated thread does not clean up.
      if (existsSync(preparation.work)) rmSync(preparation.work, { recursive: true, force: true });
    }
  return openPrepared(preparation, options, isNew);
}

/** Tells whether the folder has a dataset with this tokenizer. */
function hasTokenizer(dir: string, tokenizer: string): boolean {
  if (!existsSync(dir)) return false;
  return readIndex(dir).files[TOKENIZER_FILE]?.sha256 === sha256(readTokenizerFile(tokenizer));
}

function prepareOnThread(
  { log, progress, ...options }: PrepareOptions,
  preparation: Preparation,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const work: PrepareWork = { options, preparation };
    const worker = startThread(new URL('./prepare-thread.js', import.meta.url), work);
    let failure: Error | null = null;
    signal.addEventListener('abort', () => void worker.terminate());
    worker.on('message', (message: PrepareMessage) => {
      if ('line' in message) log(message.line);
      else if ('progress' in message) progress?.(message.progress);
      else failure = new TrainerError(message.failure.code, message.failure.message);
    });
    worker.once('error', (error) => {
      failure = error;
    });
    // The thread may write until it has exited.
    worker.once('exit', () => {
      if (failure === null) resolve();
      else reject(failure);
    });
  });
}
