import type { ProbeData } from 'locmoe/internal/evaluation/routes/probe-data';
import type {
  ApiError,
  CheckpointCheck,
  CheckpointsReply,
  ExpertRoutes,
  ExpertsReply,
  FlightReply,
  MetricsReply,
  RanksReply,
  RecordedSteps,
  RunDetail,
  RunList,
  SequenceRoutes,
  SpeedsReply,
  StepReply,
  StepRoutes,
  TimelineReply,
} from '../api-types.js';
import { Contact } from './contact.js';

const TIMEOUT_MS = 30_000;

/** Contact with the server of the page, over all requests. */
export const contact = new Contact();

/** A request that the server refused, with the server's message. */
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
  contact.asked();
  try {
    response = await fetch(url, { ...init, signal });
    contact.answered();
  } catch (error) {
    if (init.signal?.aborted) {
      contact.dropped();
      throw error;
    }
    contact.refused();
    throw new RequestError('the server of this page does not answer', 0);
  }
  if (response.ok) return response;
  throw new RequestError(messageOf(await response.text()) || response.statusText, response.status);
}

/** Returns the message of something thrown. */
export function problemOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
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

/**
 * @param after cursor of an earlier reply for the same layers; the reply then has only what has changed since
 */
export function fetchExperts(
  runId: string,
  { after, layers }: { readonly after: string | null; readonly layers: readonly string[] | null },
): Promise<ExpertsReply> {
  const params = new URLSearchParams();
  if (after !== null) params.set('after', after);
  if (layers !== null) params.set('layers', layers.join(',') || 'none');
  return get(ofRun(runId, `/experts?${params}`));
}

export function fetchRanks(runId: string, after: string | null): Promise<RanksReply> {
  return get(ofRun(runId, `/ranks${after === null ? '' : `?after=${after}`}`));
}
export const fetchStep = (runId: string, step: number) => get<StepReply>(ofRun(runId, `/steps/${step}`));
export const fetchSpeeds = (runId: string) => get<SpeedsReply>(ofRun(runId, '/speeds'));
export const fetchFlight = (runId: string) => get<FlightReply>(ofRun(runId, '/flight'));
export const fetchCheckpoints = (runId: string) => get<CheckpointsReply>(ofRun(runId, '/checkpoints'));
export const checkCheckpoint = (runId: string, name: string) =>
  get<CheckpointCheck>(ofRun(runId, `/checkpoints/${encodeURIComponent(name)}`));

export function fetchTimeline(
  runId: string,
  place: { readonly step: number | null; readonly generation: number | null },
): Promise<TimelineReply> {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(place)) if (value !== null) params.set(name, String(value));
  return get(ofRun(runId, `/timeline?${params}`));
}

export const fetchRecordedSteps = (runId: string) => get<RecordedSteps>(ofRun(runId, '/routes'));
export const fetchProbe = (runId: string) => get<ProbeData>(ofRun(runId, '/probe'));
export const fetchStepRoutes = (runId: string, step: number) =>
  get<StepRoutes>(ofRun(runId, `/routes/${step}`));
/** @param from index of the first token that is wanted */
export const fetchSequenceRoutes = (runId: string, step: number, sequence: number, from: number) =>
  get<SequenceRoutes>(ofRun(runId, `/routes/${step}/sequences/${sequence}?from=${from}`));
export const fetchExpertRoutes = (runId: string, step: number, layer: number, expert: number) =>
  get<ExpertRoutes>(ofRun(runId, `/routes/${step}/layers/${layer}/experts/${expert}`));

export interface MetricsRequest {
  readonly after?: string | null;
  readonly range?: readonly [number, number] | null;
  readonly layer: string;
}

export function fetchMetrics(runId: string, { after, range, layer }: MetricsRequest): Promise<MetricsReply> {
  const params = new URLSearchParams({ layer });
  if (after) params.set('after', after);
  if (range) {
    // The range has a step beyond each edge, so that lines run out of the plot.
    params.set('from', String(Math.floor(range[0]) - 1));
    params.set('to', String(Math.ceil(range[1]) + 1));
  }
  return get(ofRun(runId, `/metrics?${params}`));
}
