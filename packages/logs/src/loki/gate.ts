import type { Context } from 'hono';
import { LogsError, messageOf } from '../errors.js';
import { Parameters } from './parameters.js';

const MAX_CONCURRENT = 16;

/** Runs requests: not too many at once, and what goes wrong becomes Loki's kind of answer, plain text with a status. */
export class RequestGate {
  #numRunning = 0;

  /** A handler that answers with the JSON of what `answer` returns. */
  json(
    answer: (parameters: Parameters, signal: AbortSignal, c: Context) => Promise<object>,
  ): (c: Context) => Promise<Response> {
    return this.guard(async (c) => c.json(await answer(await Parameters.of(c), c.req.raw.signal, c)));
  }

  /** A handler whose errors are answered. */
  guard(handle: (c: Context) => Promise<Response>): (c: Context) => Promise<Response> {
    return async (c) => {
      if (this.#numRunning >= MAX_CONCURRENT) return c.text('too many outstanding requests\n', 429);
      this.#numRunning++;
      try {
        return await handle(c);
      } catch (error) {
        // Nobody waits for the answer of an aborted request.
        return c.text(`${messageOf(error)}\n`, error instanceof LogsError ? 400 : 500);
      } finally {
        this.#numRunning--;
      }
    };
  }
}
