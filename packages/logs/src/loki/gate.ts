import type { Context } from 'hono';
import { LogsError, messageOf } from '../errors.js';
import { Parameters } from './parameters.js';

const MAX_CONCURRENT = 16;

/** Limits concurrent requests and turns errors into Loki's answers: a status and plain text. */
export class RequestGate {
  #numRunning = 0;

  /** Wraps a handler that returns JSON. */
  json(
    answer: (parameters: Parameters, signal: AbortSignal, c: Context) => Promise<object>,
  ): (c: Context) => Promise<Response> {
    return this.guard(async (c) => c.json(await answer(await Parameters.of(c), c.req.raw.signal, c)));
  }

  /** Wraps a handler. */
  guard(handle: (c: Context) => Promise<Response>): (c: Context) => Promise<Response> {
    return async (c) => {
      if (this.#numRunning >= MAX_CONCURRENT) return c.text('too many outstanding requests\n', 429);
      this.#numRunning++;
      try {
        return await handle(c);
      } catch (error) {
        // An aborted request never sees the answer.
        return c.text(`${messageOf(error)}\n`, error instanceof LogsError ? 400 : 500);
      } finally {
        this.#numRunning--;
      }
    };
  }
}
