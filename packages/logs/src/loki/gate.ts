import type { Context } from 'hono';
import { LogsError, messageOf } from '../errors.js';
import type { QueryOptions } from '../store/log-reader.js';
import { QueryTimeout } from '../store/pacer.js';
import { ENCODING_FLAGS, isCategorized, Parameters } from './parameters.js';

const MAX_RUNNING = 16;
/** A dashboard of many panels sends dozens of requests at once. */
const MAX_WAITING = 2_048;
const MAX_WAIT_MS = 30_000;

/** A request whose turn has come. */
export interface LokiRequest {
  readonly parameters: Parameters;
  /** Value of `:name` in the path; empty elsewhere. */
  readonly name: string;
  /** Whether `X-Loki-Response-Encoding-Flags` requests labels by category. */
  readonly isCategorized: boolean;
  /** Options for the request's queries, which end when the client disconnects and count what they read. */
  readonly options: Required<Pick<QueryOptions, 'signal' | 'totals'>>;
  /** How long the request waited. */
  readonly queueMs: number;
  /** Time at which the request's turn came. */
  readonly startedMs: number;
}

interface Refusal {
  readonly status: 429 | 504;
  readonly reason: string;
}

/** Refusal that nobody reads if the client has disconnected. */
const TOO_LATE: Refusal = {
  status: 504,
  reason: `the request waited ${MAX_WAIT_MS / 1000} s for others: ask for less at once`,
};

/**
 * Limits concurrent requests, queues others, and turns errors into Loki's answers: a status and plain text.
 */
export class RequestGate {
  #numRunning = 0;
  /** Callbacks in order of arrival, each called at its turn. */
  readonly #waiting = new Set<() => void>();

  get numWaiting(): number {
    return this.#waiting.size;
  }

  json(answer: (request: LokiRequest) => Promise<object>): (c: Context) => Promise<Response> {
    return this.guard(async (c, queueMs) =>
      c.json(
        await answer({
          parameters: await Parameters.of(c),
          name: c.req.param('name') ?? '',
          isCategorized: isCategorized(c.req.header(ENCODING_FLAGS)),
          options: { signal: c.req.raw.signal, totals: { lines: 0, bytes: 0 } },
          queueMs,
          startedMs: performance.now(),
        }),
      ),
    );
  }

  guard(handle: (c: Context, queueMs: number) => Promise<Response>): (c: Context) => Promise<Response> {
    return async (c) => {
      const receivedMs = performance.now();
      const refusal = await this.#turn(c.req.raw.signal);
      if (refusal !== null) return c.text(refusal.reason, refusal.status);
      try {
        return await handle(c, performance.now() - receivedMs);
      } catch (error) {
        return c.text(messageOf(error), statusOf(error));
      } finally {
        this.#next();
      }
    };
  }

  /**
   * Waits for a turn.
   *
   * @param gone aborted when the client disconnects, which then never sees the answer
   * @returns why the request gets no turn; null if it has its turn
   */
  async #turn(gone: AbortSignal): Promise<Refusal | null> {
    if (gone.aborted) return TOO_LATE;
    if (this.#numRunning < MAX_RUNNING) {
      this.#numRunning++;
      return null;
    }
    if (this.#waiting.size >= MAX_WAITING) return { status: 429, reason: 'too many outstanding requests' };
    return new Promise((resolve) => {
      const settle = (refusal: Refusal | null) => {
        clearTimeout(timer);
        gone.removeEventListener('abort', leave);
        this.#waiting.delete(begin);
        resolve(refusal);
      };
      const begin = () => settle(null);
      const leave = () => settle(TOO_LATE);
      const timer = setTimeout(leave, MAX_WAIT_MS);
      gone.addEventListener('abort', leave);
      this.#waiting.add(begin);
    });
  }

  #next(): void {
    const [begin] = this.#waiting;
    if (begin === undefined) this.#numRunning--;
    else begin();
  }
}

function statusOf(error: unknown): 400 | 500 | 504 {
  if (error instanceof QueryTimeout) return 504;
  return error instanceof LogsError ? 400 : 500;
}
