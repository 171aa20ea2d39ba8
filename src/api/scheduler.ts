import { setImmediate } from 'node:timers/promises';
import type { Decoder, Decoding, Prompt } from '../inference/decoder.js';
import { ApiError } from './api-error.js';

/** A text to continue. */
export interface Job {
  /** Prompt, of at least one token. */
  readonly tokenIds: readonly number[];
  readonly domain: number;
  /** Maximum number of tokens to generate. */
  readonly maxTokens: number;
  /** Aborted once the caller no longer wants the text, so that the text's place in the batch is free at once. */
  readonly signal: AbortSignal;
  /** As in `Prompt`. */
  readonly onRoutes?: Prompt['onRoutes'];
  /** Receives the hidden states of the prompt, as in `Begun`. */
  read(hiddenSD: Float32Array): void;
  /** Receives the logits of the next token; returns that token, or null at the end of the text. */
  next(logits: Float32Array): number | null;
  /** @param error null at the end of the text, else the reason why it ended early */
  end(error: unknown): void;
}

export interface SchedulerOptions {
  /** Number of sequences that are decoded together. */
  readonly maxBatch: number;
  /** Number of sequences that may wait. */
  readonly maxWaiting: number;
}

/** Maximum number of rows in one pass through the model, during which the event loop is blocked. */
const ROWS_AT_ONCE = 1024;
const RETRY_AFTER_S = 1;

interface Running {
  readonly job: Job;
  readonly sequence: Decoding;
  /** Last token, which is not in the sequence yet. */
  token: number;
}

/**
 * Continuous batching (Orca, Yu et al., OSDI 2022): a step adds one token to the running sequences, and a sequence enters
 * or leaves between any two steps. Between steps the event loop runs.
 */
export class Scheduler {
  /** Waiting jobs by request. Requests take turns, so that one with many texts does not delay the others. */
  #waiting: Job[][] = [];
  #running: Running[] = [];
  #isLooping = false;
  #isClosed = false;
  #idle: () => void = () => undefined;

  constructor(
    private readonly decoder: Decoder,
    private readonly hiddenSize: number,
    private readonly options: SchedulerOptions,
  ) {}

  get state(): { readonly running: number; readonly waiting: number; readonly closing: boolean } {
    const waiting = this.#waiting.reduce((sum, jobs) => sum + jobs.length, 0);
    return { running: this.#running.length, waiting, closing: this.#isClosed };
  }

  /** @throws ApiError 429 if the queue has no room for all of them, 503 while closing */
  submit(jobs: readonly Job[]): void {
    if (this.#isClosed) throw new ApiError(503, 'the server is shutting down', { code: 'shutting_down' });
    const { maxWaiting } = this.options;
    if (jobs.length > maxWaiting)
      throw new ApiError(400, `${jobs.length} texts in one request: at most ${maxWaiting} may wait`);
    const { waiting } = this.state;
    if (waiting + jobs.length > maxWaiting)
      throw new ApiError(429, `${waiting} texts are waiting: try again later`, {
        code: 'rate_limit_exceeded',
        retryAfterS: RETRY_AFTER_S,
      });
    this.#waiting.push([...jobs]);
    if (!this.#isLooping) void this.#loop();
  }

  /** Accepts no more jobs; resolves when the last one has ended. */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (!this.#isLooping) return;
    await new Promise<void>((resolve) => {
      this.#idle = resolve;
    });
  }

  async #loop(): Promise<void> {
    this.#isLooping = true;
    while (this.#waiting.length + this.#running.length > 0) {
      // This wait comes first, so that all requests that arrived together are in the first batch.
      await setImmediate();
      this.#dropAborted();
      this.#admit();
      this.#step();
    }
    this.#isLooping = false;
    this.#idle();
  }

  #dropAborted(): void {
    const dropped = [...this.#waiting.flat(), ...this.#running.map(({ job }) => job)].filter(
      ({ signal }) => signal.aborted,
    );
    if (dropped.length === 0) return;
    this.#waiting = this.#waiting
      .map((jobs) => jobs.filter((job) => !dropped.includes(job)))
      .filter((jobs) => jobs.length > 0);
    this.#running = this.#running.filter(({ job }) => !dropped.includes(job));
    for (const job of dropped) job.end(job.signal.reason);
  }

  /** Reads the prompts of as many jobs as there is room for, in one pass. */
  #admit(): void {
    const jobs: Job[] = [];
    let longest = 0;
    while (this.#waiting.length > 0 && this.#running.length + jobs.length < this.options.maxBatch) {
      const request = this.#waiting[0]!;
      const length = Math.max(longest, request[0]!.tokenIds.length);
      // Shorter prompts are padded to the longest.
      if (jobs.length > 0 && length * (jobs.length + 1) > ROWS_AT_ONCE) break;
      longest = length;
      jobs.push(request.shift()!);
      this.#waiting.shift();
      if (request.length > 0) this.#waiting.push(request);
    }
    if (jobs.length === 0) return;
    this.#guarded(jobs, () => {
      // The model never reads the last token that it generates.
      const begun = this.decoder.begin(
        jobs.map((job) => ({ ...job, maxTokens: Math.max(0, job.maxTokens - 1) })),
      );
      begun.forEach(({ sequence, hiddenSD }, i) => {
        this.#guarded([jobs[i]!], () => {
          jobs[i]!.read(hiddenSD);
          if (jobs[i]!.maxTokens === 0) {
            jobs[i]!.end(null);
            return;
          }
          const logits = this.decoder.logitsOf(hiddenSD.subarray(-this.hiddenSize))[0]!;
          const running = { job: jobs[i]!, sequence, token: 0 };
          if (this.#takes(running, logits)) this.#running.push(running);
        });
      });
    });
  }

  /** Adds one token to every running sequence, or to as many as `ROWS_AT_ONCE` allows, taking turns. */
  #step(): void {
    let rows = 0;
    const running: Running[] = [];
    const later: Running[] = [];
    for (const each of this.#running) {
      const { rowsOfNext } = each.sequence;
      const fits = running.length === 0 || rows + rowsOfNext <= ROWS_AT_ONCE;
      if (fits) rows += rowsOfNext;
      (fits ? running : later).push(each);
    }
    if (running.length === 0) return;
    this.#running = later;
    this.#guarded(
      running.map(({ job }) => job),
      () => {
        const logits = this.decoder.extend(
          running.map(({ sequence }) => sequence),
          running.map(({ token }) => token),
        );
        running.forEach((each, i) => {
          this.#guarded([each.job], () => {
            if (this.#takes(each, logits[i]!)) this.#running.push(each);
          });
        });
      },
    );
  }

  /** @returns whether the text continues */
  #takes(running: Running, logits: Float32Array): boolean {
    const token = running.job.next(logits);
    if (token === null) running.job.end(null);
    else running.token = token;
    return token !== null;
  }

  /** Runs `work`; an error ends only the jobs concerned, not the server. */
  #guarded(jobs: readonly Job[], work: () => void): void {
    try {
      work();
    } catch (error) {
      for (const job of jobs) job.end(error);
    }
  }
}
