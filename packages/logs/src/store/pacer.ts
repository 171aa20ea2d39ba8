import { setImmediate as immediate } from 'node:timers/promises';
import { LogsError } from '../errors.js';

/** Longest time without yielding: the process that answers queries may also lead a run. */
const SLICE_MS = 8;

let lastTurn: Promise<void> = Promise.resolve();

/** One slice of one query in each turn of the event loop, however many queries there are. */
function nextTurn(): Promise<void> {
  lastTurn = lastTurn.then(() => immediate());
  return lastTurn;
}

export interface PacerOptions {
  /** Time limit of the whole query. */
  readonly limitMs?: number;
  /** Aborted when the caller cancels. */
  readonly signal?: AbortSignal;
}

export class QueryTimeout extends LogsError {
  constructor(limitMs: number) {
    super(
      'BAD_INPUT',
      `the query took longer than ${limitMs / 1000} s: narrow its time range or its selector`,
    );
  }
}

/** Cooperative scheduling: splits a query into slices, between which the event loop runs. */
export class Pacer {
  /** The first slice waits for its turn as well: many queries may arrive at once. */
  #sliceEndMs = 0;
  readonly #deadlineMs: number;
  readonly #limitMs: number;
  readonly #signal: AbortSignal | undefined;

  constructor({ limitMs = Number.POSITIVE_INFINITY, signal }: PacerOptions = {}) {
    this.#limitMs = limitMs;
    this.#deadlineMs = performance.now() + limitMs;
    this.#signal = signal;
  }

  /** True once the slice is used up: call `rest`. */
  get isDue(): boolean {
    return performance.now() > this.#sliceEndMs;
  }

  /** Yields to the event loop. @throws QueryTimeout past the deadline, LogsError `ABORTED` if cancelled */
  async rest(): Promise<void> {
    await nextTurn();
    const now = performance.now();
    if (this.#signal?.aborted) throw new LogsError('ABORTED', 'the query was cancelled');
    if (now > this.#deadlineMs) throw new QueryTimeout(this.#limitMs);
    this.#sliceEndMs = now + SLICE_MS;
  }
}
