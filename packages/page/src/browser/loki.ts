import { request } from './api.js';

/** Client of Loki's HTTP API. Times are ns since 1970 as bigint or text: a number cannot hold them. */

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
  /** Inclusive, ns. */
  readonly start: bigint;
  /** Exclusive, ns. */
  readonly end: bigint;
  readonly limit?: number;
  readonly direction?: 'forward' | 'backward';
  readonly stepMs?: number;
}

const ROOT = '/loki/api/v1';
/** Asks that labels of streams are told from those that the query extracts. */
const ENCODING_FLAGS = 'x-loki-response-encoding-flags';
const CATEGORIZE_LABELS = 'categorize-labels';

/** @throws RequestError with the server's message, e.g. a parse error and its position */
export async function queryRange(range: RangeQuery, signal?: AbortSignal): Promise<LokiResult> {
  const { query, start, end, limit = 100, direction = 'backward', stepMs } = range;
  const params = new URLSearchParams({ query, start: String(start), end: String(end) });
  params.set('limit', String(limit));
  params.set('direction', direction);
  if (stepMs !== undefined) params.set('step', `${stepMs}ms`);
  const headers = { [ENCODING_FLAGS]: CATEGORIZE_LABELS };
  const reply = await request(`${ROOT}/query_range?${params}`, { headers, ...(signal && { signal }) });
  return ((await reply.json()) as { data: LokiResult }).data;
}

/** The series of a metric query; empty for a log query. */
export async function querySeries(range: RangeQuery, signal?: AbortSignal): Promise<readonly LokiSeries[]> {
  const data = await queryRange(range, signal);
  return data.resultType === 'matrix' ? data.result : [];
}

/** Scope in which labels and fields are looked for. */
export interface LabelsRequest {
  /** A stream selector; empty for all streams. */
  readonly selector: string;
  /** ns since 1970. */
  readonly start: bigint;
  readonly end: bigint;
}

export interface DetectedField {
  readonly label: string;
  /** `int`, `float`, `boolean`, `duration`, `bytes` or `string`. */
  readonly type: string;
  /** Stages that extract it; null if none is needed. */
  readonly parsers: readonly string[] | null;
}

/** Lines that are looked at for fields, and fields or values asked for. */
const DETECTED_LINES = 500;
const MAX_DETECTED = 200;

function labelsUrl(path: string, { selector, start, end }: LabelsRequest, more: object = {}): string {
  const query = selector === '' ? {} : { query: selector };
  return `${ROOT}/${path}?${new URLSearchParams({ ...query, start: String(start), end: String(end), ...more })}`;
}

const DETECTED = { line_limit: String(DETECTED_LINES), limit: String(MAX_DETECTED) };

async function getJson<T>(url: string, signal?: AbortSignal): Promise<T> {
  return (await (await request(url, signal ? { signal } : {})).json()) as T;
}

/** Names of the labels of streams. @throws RequestError */
export async function fetchLabels(of: LabelsRequest): Promise<readonly string[]> {
  return (await getJson<{ data: string[] }>(labelsUrl('labels', of))).data;
}

/** Values of a label. @throws RequestError */
export async function fetchLabelValues(name: string, of: LabelsRequest): Promise<readonly string[]> {
  const path = `label/${encodeURIComponent(name)}/values`;
  return (await getJson<{ data: string[] }>(labelsUrl(path, of))).data;
}

/** Fields of the newest lines. @throws RequestError */
export async function fetchFields(of: LabelsRequest): Promise<readonly DetectedField[]> {
  return (await getJson<{ fields: DetectedField[] }>(labelsUrl('detected_fields', of, DETECTED))).fields;
}

/** Values of a field in the newest lines. @throws RequestError */
export async function fetchFieldValues(name: string, of: LabelsRequest): Promise<readonly string[]> {
  const path = `detected_field/${encodeURIComponent(name)}/values`;
  return (await getJson<{ values: string[] }>(labelsUrl(path, of, DETECTED))).values;
}

/** Lines that have a pattern in common, of one level. */
export interface LokiPattern {
  readonly pattern: string;
  readonly level: string;
  /** Time in s, lines from then on for a step. */
  readonly samples: readonly (readonly [number, number])[];
}

/** Fetches patterns, those with most lines first. @throws RequestError */
export async function fetchPatterns(
  of: LabelsRequest,
  stepMs: number,
  signal: AbortSignal,
): Promise<readonly LokiPattern[]> {
  return (await getJson<{ data: LokiPattern[] }>(labelsUrl('patterns', of, { step: `${stepMs}ms` }), signal))
    .data;
}

/** Address of the WebSocket that tails a query from a time on. @param page address of the page */
export function tailUrl(query: string, start: bigint, page: string): string {
  // Browsers send no headers of their own with a WebSocket.
  const params = new URLSearchParams({ query, start: String(start), limit: '100' });
  params.set(ENCODING_FLAGS, CATEGORIZE_LABELS);
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
