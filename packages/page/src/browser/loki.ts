import { request } from './api.js';

/** Client of Loki's HTTP API. Times are ns since 1970 as bigint or text: a number cannot hold them. */

export interface LokiStream {
  readonly stream: Readonly<Record<string, string>>;
  readonly values: readonly (readonly [string, string, ...unknown[]])[];
}

export interface LokiSeries {
  readonly metric: Readonly<Record<string, string>>;
  /** Time in seconds, value as text. */
  readonly values: readonly (readonly [number, string])[];
}

export type LokiResult =
  | { readonly resultType: 'streams'; readonly result: readonly LokiStream[] }
  | { readonly resultType: 'matrix'; readonly result: readonly LokiSeries[] };

export interface RangeQuery {
  readonly query: string;
  /** Inclusive, ns. */
  readonly start: bigint;
  /** Exclusive, ns. */
  readonly end: bigint;
  readonly limit?: number;
  readonly direction?: 'forward' | 'backward';
  readonly stepMs?: number;
}

const ROOT = '/loki/api/v1';

/** @throws RequestError with the server's message, e.g. a parse error and its position */
export async function queryRange(range: RangeQuery, signal?: AbortSignal): Promise<LokiResult> {
  const { query, start, end, limit = 100, direction = 'backward', stepMs } = range;
  const params = new URLSearchParams({ query, start: String(start), end: String(end) });
  params.set('limit', String(limit));
  params.set('direction', direction);
  if (stepMs !== undefined) params.set('step', `${stepMs}ms`);
  const reply = await request(`${ROOT}/query_range?${params}`, signal ? { signal } : {});
  return ((await reply.json()) as { data: LokiResult }).data;
}

/** The series of a metric query; empty for a log query. */
export async function querySeries(range: RangeQuery, signal?: AbortSignal): Promise<readonly LokiSeries[]> {
  const data = await queryRange(range, signal);
  return data.resultType === 'matrix' ? data.result : [];
}

/** Address of the WebSocket that tails a query from a time on. @param page address of the page */
export function tailUrl(query: string, start: bigint, page: string): string {
  const params = new URLSearchParams({ query, start: String(start), limit: '100' });
  const url = new URL(`${ROOT}/tail?${params}`, page);
  url.protocol = url.protocol.replace('http', 'ws');
  return url.href;
}

/** A LogQL string literal. */
export function quoted(text: string): string {
  return JSON.stringify(text);
}

/** The stream selector of a run's log. */
export function runSelector(runId: string): string {
  return `{run=${quoted(runId)}}`;
}

/**
 * The lines of a step, of all ranks and of the coordinator, whose lines of earlier versions have the step of a failure
 * within the failure alone.
 */
export function stepQuery(runId: string, step: number | string): string {
  return `${runSelector(runId)} | json | step = ${step} or failure_step = ${step}`;
}

export function nsOfMs(ms: number): bigint {
  return BigInt(Math.round(ms)) * 1_000_000n;
}
