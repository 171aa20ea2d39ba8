import type {
  ApiError,
  ExpertsReply,
  MetricsReply,
  RanksReply,
  RunDetail,
  RunList,
  TimelineReply,
} from '../api-types.js';

const TIMEOUT_MS = 30_000;

/** The server refused a request, with its message. */
export class RequestError extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

/** Fetches with a deadline. @throws RequestError with the server's message; status 0 if it did not answer */
export async function request(url: string, init: RequestInit = {}): Promise<Response> {
  const deadline = AbortSignal.timeout(TIMEOUT_MS);
  const signal = init.signal ? AbortSignal.any([init.signal, deadline]) : deadline;
  let response: Response;
  try {
    response = await fetch(url, { ...init, signal });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new RequestError('the server of this page does not answer', 0);
  }
  if (response.ok) return response;
  throw new RequestError(messageOf(await response.text()) || response.statusText, response.status);
}

function messageOf(body: string): string {
  try {
    const { error, message } = JSON.parse(body) as Partial<ApiError> & { readonly message?: string };
    return error ?? message ?? body;
  } catch {
    return body.trim();
  }
}

async function get<T>(url: string): Promise<T> {
  return (await (await request(url)).json()) as T;
}

const ofRun = (runId: string, tail: string) => `/api/runs/${encodeURIComponent(runId)}${tail}`;

export const fetchRuns = () => get<RunList>('/api/runs');
export const fetchRun = (runId: string) => get<RunDetail>(ofRun(runId, ''));
export const fetchExperts = (runId: string) => get<ExpertsReply>(ofRun(runId, '/experts'));
export const fetchRanks = (runId: string) => get<RanksReply>(ofRun(runId, '/ranks'));

export function fetchTimeline(
  runId: string,
  place: { readonly step: number | null; readonly generation: number | null },
): Promise<TimelineReply> {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(place)) if (value !== null) params.set(name, String(value));
  return get(ofRun(runId, `/timeline?${params}`));
}

export interface MetricsRequest {
  readonly after?: string | null;
  readonly range?: readonly [number, number] | null;
  readonly layer: string;
}

export function fetchMetrics(runId: string, { after, range, layer }: MetricsRequest): Promise<MetricsReply> {
  const params = new URLSearchParams({ layer });
  if (after) params.set('after', after);
  if (range) {
    // A step beyond each edge, so that lines run out of the plot.
    params.set('from', String(Math.floor(range[0]) - 1));
    params.set('to', String(Math.ceil(range[1]) + 1));
  }
  return get(ofRun(runId, `/metrics?${params}`));
}
