import type { Worker } from 'node:worker_threads';
import type { FileFloats } from '../checkpoint/floats.js';
import { mapTensors, type RankTensors, type SavedTensor } from '../checkpoint/rank-tensors.js';
import { type ErrorCode, type ErrorContext, TrainerError } from '../errors.js';
import { startThread } from '../os/start-thread.js';
import type { ShardFile } from '../rpc/generated/messages.js';

/** Job of the thread of a ShardWriter. */
export interface ShardJob {
  /** Temporary folder of the save. */
  readonly folder: string;
  readonly root: string;
  readonly step: number;
  readonly generation: number;
  readonly rank: number;
  readonly worldSize: number;
  readonly tensors: RankTensors;
}

/** A snapshot to write, into a folder that the thread creates. */
export interface SnapshotJob {
  readonly snapshotIn: string;
  readonly rank: number;
  readonly worldSize: number;
  readonly tensors: RankTensors;
}

/** Number of finished jobs, incremented by the thread. */
export type DoneCount = Int32Array<SharedArrayBuffer>;

export type ShardRequest =
  | ((ShardJob | SnapshotJob) & { readonly done: DoneCount })
  | { readonly failpoint: string }
  | { readonly place: { readonly rank: number; readonly generation: number } }
  | { readonly stackFd: number }
  /** The state of the generation is no longer needed. */
  | 'forget';

export type ShardAnswer =
  | { readonly files: ShardFile[] }
  | {
      readonly failure: {
        readonly code: ErrorCode;
        readonly message: string;
        readonly context: ErrorContext;
      };
    };

/** Interval between signs of life of a rank that waits for its thread. */
const SIGN_OF_LIFE_MS = 50;

/**
 * Writes a rank's files of checkpoints in a thread of this process while training goes on: from a copy, or
 * from the tensors themselves until they change. There is one job at a time.
 */
export class ShardWriter {
  readonly #thread: Worker = startThread(new URL('./shard-writer-thread.js', import.meta.url));
  #memory = new SharedArrayBuffer(0);
  #isBusy = false;
  /** Whether the thread reads the tensors themselves instead of a copy. */
  #lent = false;
  readonly #done: DoneCount = new Int32Array(new SharedArrayBuffer(4));
  #numJobs = 0;
  /** Resolves when the last job is done or has failed. */
  #job: Promise<unknown> = Promise.resolve();
  #onAnswer: (answer: ShardAnswer) => void = () => undefined;
  /** Why the thread has ended; null while it runs. */
  #ended: string | null = null;

  #onDone: () => void = () => undefined;

  constructor() {
    this.#thread.unref();
    this.#thread.on('message', (answer: ShardAnswer) => this.#onAnswer(answer));
    const fail = (message: string) => {
      this.#ended ??= message;
      this.#lent = false;
      this.#onAnswer({ failure: { code: 'INTERNAL', message, context: {} } });
    };
    this.#thread.on('error', (error) => fail(error.stack ?? error.message));
    this.#thread.on('exit', () => fail('the thread that writes checkpoints has ended'));
  }

  /**
   * Begins a generation.
   *
   * @param onDone called when neither the last copy nor anything it refers to is needed any more
   */
  begin(place: { readonly rank: number; readonly generation: number }, onDone: () => void): void {
    this.#onDone = onDone;
    this.#thread.postMessage({ place } satisfies ShardRequest);
  }

  /** Ends a generation once the thread has done its job. */
  async end(): Promise<void> {
    await this.#job;
    this.#onDone = () => undefined;
    // It refers to the tensors of the job.
    this.#onAnswer = () => undefined;
    this.#isBusy = false;
    this.#lent = false;
    this.#thread.postMessage('forget' satisfies ShardRequest);
  }

  /**
   * Copies tensors to memory that the thread shares. The copy replaces the previous one, which must have been written.
   * Numbers that are in a file are not copied.
   */
  copy(tensors: RankTensors): RankTensors {
    const inMemory = Object.values(tensors).flatMap((list: readonly SavedTensor[]) =>
      list.flatMap(({ data }) => (data instanceof Float32Array ? data : [])),
    );
    const bytes = inMemory.reduce((sum, { byteLength }) => sum + byteLength, 0);
    if (this.#memory.byteLength < bytes) this.#memory = new SharedArrayBuffer(bytes);
    this.#isBusy = true;
    let begin = 0;
    return mapTensors(tensors, ({ name, shape, data }) => {
      if (!(data instanceof Float32Array)) return { name, shape, data };
      const copied = new Float32Array(this.#memory, begin, data.length);
      copied.set(data);
      begin += data.byteLength;
      return { name, shape, data: copied };
    });
  }

  /**
   * Lends the tensors themselves to the thread; those outside shared memory, which are few and small, are
   * copied. Lent tensors must not change until the job is done, for which `reclaim` waits.
   */
  lend(tensors: RankTensors): RankTensors {
    this.#isBusy = true;
    this.#lent = true;
    return mapTensors(tensors, ({ data, ...rest }) => ({
      ...rest,
      data: isForThreads(data) ? data : Float32Array.from(data),
    }));
  }

  /**
   * Blocks until the thread has read lent tensors. To be called before tensors that may be lent change.
   *
   * @param keepWaiting called now and then; throws if the run is given up
   * @returns false if the thread has not read them within `limitMs`
   */
  reclaim(keepWaiting: () => void, limitMs: number): boolean {
    if (!this.#lent) return true;
    const deadline = performance.now() + limitMs;
    for (let done = Atomics.load(this.#done, 0); done !== this.#numJobs; done = Atomics.load(this.#done, 0)) {
      keepWaiting();
      if (performance.now() > deadline) return false;
      Atomics.wait(this.#done, 0, done, SIGN_OF_LIFE_MS);
    }
    this.#lent = false;
    return true;
  }

  /** True while the copy or lent tensors are needed. */
  get isBusy(): boolean {
    return this.#isBusy;
  }

  /** Declares that the copy, or lent tensors, are no longer needed. */
  release(): void {
    this.#isBusy = false;
    this.#onDone();
  }

  /** Arms a failpoint in the thread, which counts its own calls. */
  armFailpoint(specification: string): void {
    this.#thread.postMessage({ failpoint: specification } satisfies ShardRequest);
  }

  /** Makes the thread answer the agent through a descriptor; see `answerForStack`. */
  answerForStack(stackFd: number): void {
    this.#thread.postMessage({ stackFd } satisfies ShardRequest);
  }

  /**
   * Writes and syncs files from a copy, or from lent tensors.
   *
   * @throws TrainerError as `writeShards`; `SUPERSEDED` if a later generation of the run was started
   */
  write(job: ShardJob | SnapshotJob): Promise<ShardFile[]> {
    const written = new Promise<ShardFile[]>((resolve, reject) => {
      this.#onAnswer = (answer) => {
        this.release();
        if ('files' in answer) resolve(answer.files);
        else reject(new TrainerError(answer.failure.code, answer.failure.message, answer.failure.context));
      };
      if (this.#ended !== null) {
        this.#lent = false;
        this.#onAnswer({ failure: { code: 'INTERNAL', message: this.#ended, context: {} } });
        return;
      }
      this.#numJobs++;
      this.#thread.postMessage({ ...job, done: this.#done } satisfies ShardRequest);
    });
    this.#job = written.catch(() => undefined);
    return written;
  }
}

function isForThreads(data: SavedTensor['data']): data is FileFloats | Float32Array<SharedArrayBuffer> {
  return !(data instanceof Float32Array) || data.buffer instanceof SharedArrayBuffer;
}
