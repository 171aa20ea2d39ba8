import { request } from './api.js';

/** Client of Loki's HTTP API. */

/** ms since 1970 or, as a bigint, ns since 1970, which a number cannot represent exactly. */
type Time = number | bigint;

export interface LokiStream {
  /** Labels of the stream, which selectors match. */
  readonly stream: Readonly<Record<string, string>>;
  /** Time in ns, line, other labels of the line. */
  readonly values: readonly (readonly [string, string, OtherLabels?])[];
}

export interface OtherLabels {
  readonly structuredMetadata?: Readonly<Record<string, string>>;
  /** Extracted or formatted by the stages of the query. */
  readonly parsed?: Readonly<Record<string, string>>;
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
  /** Start of the range, inclusive. */
  readonly start: Time;
  /** End of the range, exclusive. */
  readonly end: Time;
  readonly limit?: number;
  readonly direction?: 'forward' | 'backward';
  readonly stepMs?: number | undefined;
}

const ROOT = '/loki/api/v1';
/** Makes Loki separate the labels of streams from those that the query extracts. */
const ENCODING_FLAGS = 'x-loki-response-encoding-flags';
const CATEGORIZE_LABELS = 'categorize-labels';

async function getJson<T>(path: string, params: object, init: RequestInit = {}): Promise<T> {
  const texts = Object.entries(params).map(([name, value]): [string, string] => [name, String(value)]);
  return (await request(`${ROOT}/${path}?${new URLSearchParams(texts)}`, init)).json() as Promise<T>;
}

/** @throws RequestError with the server's message, e.g. a parse error and its position */
export async function queryRange(range: RangeQuery, signal?: AbortSignal): Promise<LokiResult> {
  const { query, start, end, limit = 100, direction = 'backward', stepMs } = range;
  const step = stepMs === undefined ? {} : { step: `${stepMs}ms` };
  const params = { query, start: nsOf(start), end: nsOf(end), limit, direction, ...step };
  const headers = { [ENCODING_FLAGS]: CATEGORIZE_LABELS };
  return (await getJson<{ data: LokiResult }>('query_range', params, { headers, ...(signal && { signal }) }))
    .data;
}

/** Fetches the series of a metric query; empty for a log query. */
export async function querySeries(range: RangeQuery, signal?: AbortSignal): Promise<readonly LokiSeries[]> {
  const data = await queryRange(range, signal);
  return data.resultType === 'matrix' ? data.result : [];
}

/** Scope in which labels and fields are looked for. */
export interface LabelsRequest {
  /** A stream selector; empty for all streams. */
  readonly selector: string;
  readonly start: Time;
  readonly end: Time;
}

export interface DetectedField {
  readonly label: string;
  /** `int`, `float`, `boolean`, `duration`, `bytes` or `string`. */
  readonly type: string;
  /** Stages that extract it; null if none is needed. */
  readonly parsers: readonly string[] | null;
}

function scopeOf({ selector, start, end }: LabelsRequest): object {
  return { ...(selector !== '' && { query: selector }), start: nsOf(start), end: nsOf(end) };
}

/** Limits on the lines that are searched for fields, and on the fields or values returned. */
const DETECTED = { line_limit: 500, limit: 200 };

/** Fetches the names of the labels of streams. @throws RequestError */
export async function fetchLabels(of: LabelsRequest): Promise<readonly string[]> {
  return (await getJson<{ data: string[] }>('labels', scopeOf(of))).data;
}

/** Fetches the values of a label. @throws RequestError */
export async function fetchLabelValues(name: string, of: LabelsRequest): Promise<readonly string[]> {
  return (await getJson<{ data: string[] }>(`label/${encodeURIComponent(name)}/values`, scopeOf(of))).data;
}

/** Fetches the fields of the newest lines. @throws RequestError */
export async function fetchFields(of: LabelsRequest): Promise<readonly DetectedField[]> {
  const params = { ...scopeOf(of), ...DETECTED };
  return (await getJson<{ fields: DetectedField[] }>('detected_fields', params)).fields;
}

/** Fetches the values of a field in the newest lines. @throws RequestError */
export async function fetchFieldValues(name: string, of: LabelsRequest): Promise<readonly string[]> {
  const path = `detected_field/${encodeURIComponent(name)}/values`;
  return (await getJson<{ values: string[] }>(path, { ...scopeOf(of), ...DETECTED })).values;
}

/** Lines of one level that have a pattern in common. */
export interface LokiPattern {
  readonly pattern: string;
  readonly level: string;
  /** Time in s, and number of lines in the step that begins then. */
  readonly samples: readonly (readonly [number, number])[];
}

/** Fetches patterns, those with most lines first. @throws RequestError */
export async function fetchPatterns(
  of: LabelsRequest,
  stepMs: number,
  signal: AbortSignal,
): Promise<readonly LokiPattern[]> {
  const params = { ...scopeOf(of), step: `${stepMs}ms` };
  return (await getJson<{ data: LokiPattern[] }>('patterns', params, { signal })).data;
}

/** Address of the WebSocket that tails a query from a time on. @param page address of the page */
export function tailUrl(query: string, start: Time, page: string): string {
  // Browsers cannot set headers on a WebSocket request, so the flags are a parameter.
  const params = new URLSearchParams({ query, start: String(nsOf(start)), limit: '100' });
  params.set(ENCODING_FLAGS, CATEGORIZE_LABELS);
  const url = new URL(`${ROOT}/tail?${params}`, page);
  url.protocol = url.protocol.replace('http', 'ws');
  return url.href;
}

/** Quotes a text as a LogQL string literal. */
export function quoted(text: string): string {
  return JSON.stringify(text);
}

/** Returns the stream selector of a run's log. */
export function runSelector(runId: string): string {
  return `{run=${quoted(runId)}}`;
}

/**
 * Returns a query for the lines of a step, from all ranks and the coordinator. In coordinator lines of
 * earlier versions, the step of a failure is only in the field `failure_step`.
 */
export function stepQuery(runId: string, step: number | string): string {
  return `${runSelector(runId)} | json | step = ${step} or failure_step = ${step}`;
}

function nsOf(time: Time): bigint {
  return typeof time === 'bigint' ? time : BigInt(Math.round(time)) * 1_000_000n;
}
