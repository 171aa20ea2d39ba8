import { setImmediate as immediate } from 'node:timers/promises';
import { LogsError } from '../errors.js';

/** Longest time without yielding, because the process that answers queries may also coordinate a run. */
const SLICE_MS = 8;

let lastTurn: Promise<void> = Promise.resolve();

/**
 * Waits for a turn: each turn of the event loop runs one slice of one query, however many queries there are.
 */
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
  /** The initial value makes even the first slice wait for its turn, as many queries may arrive at once. */
  #sliceEndMs = 0;
  readonly #deadlineMs: number;
  readonly #limitMs: number;
  readonly #signal: AbortSignal | undefined;

  constructor({ limitMs = Number.POSITIVE_INFINITY, signal }: PacerOptions = {}) {
    this.#limitMs = limitMs;
    this.#deadlineMs = performance.now() + limitMs;
    this.#signal = signal;
  }

  /** Whether the slice is used up, so that `rest` must be called. */
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
