import { existsSync, rmSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { type ErrorCode, TrainerError } from '../errors.js';
import type { Dataset } from './dataset.js';
import { datasetFolder, type PrepareOptions, prepareDataset, workFolder } from './prepare.js';

/** Input of the preparation thread. */
export interface PrepareWork {
  readonly options: Omit<PrepareOptions, 'log'>;
  readonly work: string;
}

/** A message of the preparation thread. */
export type PrepareMessage =
  | { readonly line: string }
  | { readonly failure: { readonly code: ErrorCode; readonly message: string } };

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * `prepareDataset` on another thread, so that a signal can end it at once; it then leaves nothing behind.
 *
 * @throws TrainerError also `INTERRUPTED`
 */
export async function prepareAside(options: PrepareOptions): Promise<Dataset> {
  if (!existsSync(datasetFolder(options))) {
    const work = workFolder(options);
    try {
      await prepareOnThread(options, work);
    } finally {
      // A terminated thread does not clean up.
      rmSync(work, { recursive: true, force: true });
    }
  }
  return prepareDataset(options);
}

function prepareOnThread({ log, ...options }: PrepareOptions, work: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./prepare-thread.js', import.meta.url), {
      workerData: { options, work } satisfies PrepareWork,
    });
    let failure: Error | null = null;
    const onSignal = (signal: NodeJS.Signals) => {
      failure = new TrainerError('INTERRUPTED', `${signal}: ended while the data were prepared`);
      void worker.terminate();
    };
    for (const signal of SIGNALS) process.on(signal, onSignal);
    worker.on('message', (message: PrepareMessage) => {
      if ('line' in message) log(message.line);
      else failure = new TrainerError(message.failure.code, message.failure.message);
    });
    worker.once('error', (error) => {
      failure = error;
    });
    // Only after its exit the thread writes nothing more.
    worker.once('exit', () => {
      for (const signal of SIGNALS) process.off(signal, onSignal);
      if (failure === null) resolve();
      else reject(failure);
    });
  });
}
