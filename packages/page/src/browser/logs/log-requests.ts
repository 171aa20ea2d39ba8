import { type LokiResult, type LokiSeries, queryRange, querySeries } from '../loki.js';
import type { PageState } from '../page-state.js';
import { STEPS_MS } from '../ticks.js';
import { type LogLine, queryLines } from './log-line.js';
import { hasParser, isMetricQuery, selectorOf, withLevels } from './query-edit.js';

export const PAGE_LINES = 500;
const NUM_BARS = 90;

export interface LogRequest {
  readonly query: string;
  readonly range: readonly [number, number];
  readonly order: PageState['order'];
}

/** Lines over time, as series of counts by level. */
export interface LogVolume {
  readonly series: readonly LokiSeries[];
  /** The request's range, extended to whole bars; ms since 1970. */
  readonly range: readonly [number, number];
  readonly stepMs: number;
}

/** Fetches the first page of a log query, or the series of a metric query. */
export function fetchResult({ query, range, order }: LogRequest, signal: AbortSignal): Promise<LokiResult> {
  const [start, end] = range;
  const stepMs = isMetricQuery(query) ? stepOf(range) : undefined;
  return queryRange({ query, start, end, limit: PAGE_LINES, direction: directionOf(order), stepMs }, signal);
}

/**
 * Fetches the next page of a log query.
 *
 * @param last last line of the pages before. Lines of the same time are fetched again, as only some may be on
 *   those pages
 */
export function fetchNextPage({ query, range, order }: LogRequest, last: LogLine): Promise<LogLine[]> {
  const [start, end] = range;
  const ns = BigInt(last.ns);
  const rest = order === 'newest' ? { start, end: ns + 1n } : { start: ns, end };
  return queryLines({ query, ...rest, limit: PAGE_LINES, direction: directionOf(order) });
}

/** Fetches the counts of all levels, including those that the query excludes, as the legend offers them. */
export async function fetchVolume(
  { query, range: [start, end] }: LogRequest,
  signal: AbortSignal,
): Promise<LogVolume> {
  const stepMs = stepOf([start, end]);
  // The ends are multiples of the step, so that bars stay where they are as the range moves.
  const range = [Math.floor(start / stepMs) * stepMs, Math.ceil(end / stepMs) * stepMs] as const;
  // A line that a stage cannot parse is shown in the list, but would make a metric query fail.
  const unread = hasParser(query) ? ' | drop __error__, __error_details__' : '';
  const counts = `sum by (level) (count_over_time(${withLevels(query, [])}${unread} [${stepMs}ms]))`;
  // A sample counts the lines of the step before its time.
  const times = { start: range[0] + stepMs, end: range[1] + stepMs, stepMs };
  return { series: await querySeries({ query: counts, ...times }, signal), range, stepMs };
}

export interface PatternRequest {
  readonly selector: string;
  readonly range: LogRequest['range'];
  readonly stepMs: number;
}

/** Requests the patterns of all lines of the selector, whatever else the query filters. */
export function patternRequest({ query, range }: LogRequest): PatternRequest {
  const selector = query.slice(0, (selectorOf(query)?.end ?? query.length) + 1);
  // The API counts in whole seconds.
  return { selector, range, stepMs: 1_000 * Math.ceil(stepOf(range) / 1_000) };
}

function directionOf(order: PageState['order']): 'forward' | 'backward' {
  return order === 'newest' ? 'backward' : 'forward';
}

/** Returns a round step in ms with at most about 90 of them in the range. */
export function stepOf([start, end]: readonly [number, number]): number {
  const least = (end - start) / NUM_BARS;
  return STEPS_MS.find((step) => step >= least) ?? Math.ceil(least / 86_400e3) * 86_400e3;
}
