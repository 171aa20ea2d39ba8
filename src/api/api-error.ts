import type { Outcome } from '../metrics/prometheus/api-metrics.js';

/** An error in OpenAI's form, with its HTTP status. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    private readonly details: {
      readonly code?: string;
      /** Field of the request that is to blame. */
      readonly param?: string;
      readonly retryAfterS?: number;
    } = {},
  ) {
    super(message);
  }

  get body(): object {
    const { code = null, param = null } = this.details;
    return { error: { message: this.message, type: typeOf(this.status), param, code } };
  }

  get response(): Response {
    const { retryAfterS } = this.details;
    const headers = retryAfterS === undefined ? {} : { 'Retry-After': String(retryAfterS) };
    return Response.json(this.body, { status: this.status, headers });
  }
}

export function invalid(param: string, message: string, code?: string): ApiError {
  return new ApiError(400, `${param}: ${message}`, { param, ...(code !== undefined && { code }) });
}

/** Names the outcome of a request by the status of its answer. */
export function outcomeOf(status: number): Outcome {
  if (status < 400) return 'answered';
  return OUTCOMES[status] ?? 'refused';
}

const OUTCOMES: Readonly<Record<number, Outcome>> = {
  429: 'busy',
  499: 'gone',
  500: 'failed',
  503: 'closing',
  504: 'timeout',
};

function typeOf(status: number): string {
  if (status === 429) return 'rate_limit_error';
  return status < 500 ? 'invalid_request_error' : 'server_error';
}
