import { setImmediate as nextTurn } from 'node:timers/promises';
import { LogsError } from '../errors.js';

/** Work that takes longer than this lets others go first: the process that reads logs may also lead a run. */
const SLICE_MS = 8;

export interface PacerOptions {
  /** How long the whole may take. */
  readonly limitMs?: number;
  /** Aborted when nobody waits for the outcome any more. */
  readonly signal?: AbortSignal;
}

/** Splits long work into slices, between which the event loop goes on. */
export class Pacer {
  #sliceEndMs = performance.now() + SLICE_MS;
  readonly #deadlineMs: number;
  readonly #limitMs: number;
  readonly #signal: AbortSignal | undefined;

  constructor({ limitMs = Number.POSITIVE_INFINITY, signal }: PacerOptions = {}) {
    this.#limitMs = limitMs;
    this.#deadlineMs = performance.now() + limitMs;
    this.#signal = signal;
  }

  /** True once the slice is used up; `rest` is due then. */
  get isDue(): boolean {
    return performance.now() > this.#sliceEndMs;
  }

  /** @throws LogsError `BAD_INPUT` if the limit has passed, `ABORTED` if nobody waits any more */
  async rest(): Promise<void> {
    await nextTurn();
    const now = performance.now();
    if (this.#signal?.aborted) throw new LogsError('ABORTED', 'the query was cancelled');
    if (now > this.#deadlineMs)
      throw new LogsError(
        'BAD_INPUT',
        `the query took longer than ${this.#limitMs / 1000} s: narrow its time range or its selector`,
      );
    this.#sliceEndMs = now + SLICE_MS;
  }
}
