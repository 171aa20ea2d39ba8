import type { LogEntry } from '../logql/log-entries.js';
import { sampleText } from '../logql/number-text.js';
import type { Series, TimeGrid, Value } from '../logql/series.js';
import { type Instant, nsText } from '../store/instant.js';
import { type Labels, labelsKey } from '../store/streams.js';

export interface StreamJson {
  readonly stream: Readonly<Record<string, string>>;
  readonly values: [string, string][];
}

/** Groups entries by label set; a stream keeps their order. */
export function toStreams(entries: readonly LogEntry[]): StreamJson[] {
  const byLabels = new Map<Labels, StreamJson>();
  const byKey = new Map<string, StreamJson>();
  for (const { labels, text, ...at } of entries) {
    let stream = byLabels.get(labels);
    if (stream === undefined) {
      const key = labelsKey(labels);
      stream = byKey.get(key) ?? { stream: Object.fromEntries(labels), values: [] };
      byKey.set(key, stream);
      byLabels.set(labels, stream);
    }
    stream.values.push([nsText(at), text]);
  }
  return [...byKey.values()];
}

export interface MatrixJson {
  readonly metric: Readonly<Record<string, string>>;
  /** Time in s since 1970, value as decimal text. */
  readonly values: [number, string][];
}

/** A matrix; a scalar becomes one constant series. */
export function toMatrix(value: Value, grid: TimeGrid): MatrixJson[] {
  const seconds = Array.from({ length: grid.numPoints }, (_, point) => secondsAt(grid, point));
  if (typeof value === 'number')
    return [{ metric: {}, values: seconds.map((at) => [at, sampleText(value)]) }];
  return value.map(({ labels, values, present }) => ({
    metric: Object.fromEntries(labels),
    values: seconds.flatMap((at, point): [number, string][] =>
      present[point] === 1 ? [[at, sampleText(values[point])]] : [],
    ),
  }));
}

/** An instant vector, from a grid of one point. */
export function toVector(series: readonly Series[], at: Instant): object[] {
  return series
    .filter(({ present }) => present[0] === 1)
    .map(({ labels, values }) => ({
      metric: Object.fromEntries(labels),
      value: [secondsOf(at), sampleText(values[0])],
    }));
}

export function secondsOf({ timeMs, nanos }: Instant): number {
  return timeMs / 1000 + nanos / 1e9;
}

function secondsAt({ startMs, stepMs }: TimeGrid, point: number): number {
  return Math.round(startMs + point * stepMs) / 1000;
}

/** The envelope of a query's result. */
export function queryAnswer(resultType: string, result: unknown, startedMs: number, numEntries = 0): object {
  const execTime = (performance.now() - startedMs) / 1000;
  return {
    status: 'success',
    data: {
      resultType,
      result,
      stats: { summary: { execTime, queueTime: 0, totalEntriesReturned: numEntries } },
    },
  };
}
