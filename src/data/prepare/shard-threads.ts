import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Worker } from 'node:worker_threads';
import { type ErrorCode, TrainerError } from '../../errors.js';
import { startThread } from '../../os/start-thread.js';
import { loadTokenizer } from '../tokenizer/tokenizer.js';
import { makeShards, type PartShards, type ShardWork } from './make-shards.js';
import type { Part } from './parts.js';

/** The tokenizer of all threads. */
export interface ShardThreadData {
  readonly tokenizerFile: string;
  readonly endOfText: string | null;
}

export interface ShardRequest {
  readonly index: number;
  readonly part: Part;
  readonly work: ShardWork;
}

export type ShardAnswer =
  | { readonly index: number; readonly made: PartShards }
  | { readonly bytes: number; readonly wereDone: boolean }
  | { readonly failure: { readonly code: ErrorCode; readonly message: string } };

/** Each thread takes about 70 MB. */
const MAX_THREADS = 8;
/** Time for a thread to finish its part, which takes about a second. */
const END_MS = 5_000;

type Job = Pick<ShardRequest, 'part' | 'work'>;

/**
 * Prepares parts on all processors, but a single part on this thread.
 *
 * @param onBytes called with stored bytes that were prepared now, or were found to be prepared
 * @returns the shards of each part
 * @throws the TrainerError of the first part that failed; the others are not finished
 */
export async function makeAllShards(
  jobs: readonly Job[],
  data: ShardThreadData,
  onBytes: (bytes: number, wereDone: boolean) => void,
): Promise<PartShards[]> {
  const numThreads = Math.min(jobs.length, availableParallelism(), MAX_THREADS);
  if (numThreads <= 1) {
    const tokenizer = loadTokenizer(data.tokenizerFile, data.endOfText);
    const made: PartShards[] = [];
    for (const { part, work } of jobs) made.push(await makeShards(part, work, tokenizer, onBytes));
    return made;
  }
  const threads = Array.from({ length: numThreads }, () =>
    startThread(new URL('./shard-thread.js', import.meta.url), data),
  );
  try {
    return await share(jobs, threads, onBytes);
  } finally {
    await Promise.all(threads.map(endThread));
  }
}

/** Lets a thread finish its part: if it were terminated, it would leave an unfinished file behind. */
async function endThread(thread: Worker): Promise<void> {
  const ended = once(thread, 'exit').catch(() => undefined);
  thread.postMessage(null);
  await Promise.race([ended, sleep(END_MS, undefined, { ref: false })]);
  await thread.terminate();
}

function share(
  jobs: readonly Job[],
  threads: readonly Worker[],
  onBytes: (bytes: number, wereDone: boolean) => void,
): Promise<PartShards[]> {
  return new Promise((resolve, reject) => {
    const made = new Array<PartShards>(jobs.length);
    let next = 0;
    let open = jobs.length;
    const giveNext = (thread: Worker) => {
      const index = next++;
      if (index < jobs.length) thread.postMessage({ index, ...jobs[index]! } satisfies ShardRequest);
    };
    for (const thread of threads) {
      thread.on('message', (answer: ShardAnswer) => {
        if ('failure' in answer) reject(new TrainerError(answer.failure.code, answer.failure.message));
        else if ('bytes' in answer) onBytes(answer.bytes, answer.wereDone);
        else {
          made[answer.index] = answer.made;
          if (--open === 0) resolve(made);
          else giveNext(thread);
        }
      });
      thread.once('error', reject);
      thread.once('exit', () => reject(new Error('a thread that prepares text ended early')));
      giveNext(thread);
    }
  });
}
