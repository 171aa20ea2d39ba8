import type { LogQuery, MetricQuery } from '../logql/ast.js';
import type { LogEngine } from '../logql/log-engine.js';
import { sampleText } from '../logql/number-text.js';
import type { Series, TimeGrid } from '../logql/series.js';
import { compareInstants, type Instant, instantOfMs, type TimeRange } from '../store/instant.js';
import type { QueryOptions } from '../store/log-reader.js';
import { labelsKey } from '../store/streams.js';
import { type MatrixJson, secondsOf } from './shapes.js';

type VolumeOp = 'count_over_time' | 'bytes_over_time';

/** A selector, what to count of its lines, and the labels to sum by. */
export interface VolumeQuery {
  readonly matchers: LogQuery['matchers'];
  readonly op: VolumeOp;
  readonly labels: readonly string[];
}

/** Lines or bytes in a whole time range: series of one point each. */
export function totalVolume(
  engine: LogEngine,
  query: VolumeQuery,
  { start, end }: TimeRange,
  options: QueryOptions,
): Promise<Series[]> {
  const rangeMs = end.timeMs - start.timeMs + (end.nanos - start.nanos) / 1e6;
  return volumeAt(engine, query, { ...justBefore(end), stepMs: 1, numPoints: 1 }, rangeMs, options);
}

/**
 * Lines or bytes between multiples of the step, in whole or in part. As in Loki a point is stamped with the last
 * ms of its span, the last one with the end of the range.
 */
export async function volumePerStep(
  engine: LogEngine,
  query: VolumeQuery,
  { start, end }: TimeRange,
  stepMs: number,
  options: QueryOptions,
): Promise<MatrixJson[]> {
  const byLabels = new Map<string, MatrixJson>();
  const collect = (series: readonly Series[], timeOf: (point: number) => number) => {
    for (const { labels, values, present } of series) {
      const key = labelsKey(labels);
      const found = byLabels.get(key) ?? { metric: Object.fromEntries(labels), values: [] };
      byLabels.set(key, found);
      for (const [point, value] of values.entries())
        if (present[point] === 1) found.values.push([timeOf(point), sampleText(value)]);
    }
  };
  const next = instantOfMs((Math.floor(start.timeMs / stepMs) + 1) * stepMs);
  const last = instantOfMs((Math.ceil((end.timeMs + Math.sign(end.nanos)) / stepMs) - 1) * stepMs);
  if (compareInstants(next, end) >= 0) {
    collect(await totalVolume(engine, query, { start, end }, options), () => secondsOf(end));
    return [...byLabels.values()];
  }
  collect(await totalVolume(engine, query, { start, end: next }, options), () => (next.timeMs - 1) / 1000);
  const firstMs = next.timeMs + stepMs;
  const numPoints = (last.timeMs - next.timeMs) / stepMs;
  if (numPoints > 0) {
    const grid = { ...justBefore(instantOfMs(firstMs)), stepMs, numPoints };
    const series = await volumeAt(engine, query, grid, stepMs, options);
    collect(series, (point) => (firstMs + point * stepMs - 1) / 1000);
  }
  collect(await totalVolume(engine, query, { start: last, end }, options), () => secondsOf(end));
  return [...byLabels.values()];
}

/** A range vector covers (t - range, t], a time range [start, end): both ends are moved by 1 ns. */
function justBefore({ timeMs, nanos }: Instant): Pick<TimeGrid, 'startMs' | 'startNanos'> {
  return nanos > 0
    ? { startMs: timeMs, startNanos: nanos - 1 }
    : { startMs: timeMs - 1, startNanos: 999_999 };
}

/** Evaluates `sum by (labels) (op({matchers}[range]))`. */
async function volumeAt(
  engine: LogEngine,
  { matchers, op, labels }: VolumeQuery,
  grid: TimeGrid,
  rangeMs: number,
  options: QueryOptions,
): Promise<Series[]> {
  const query: MetricQuery = {
    kind: 'aggregate',
    op: 'sum',
    parameter: 0,
    grouping: { without: false, labels },
    inner: {
      kind: 'range',
      op,
      parameter: 0,
      log: { kind: 'log', matchers, stages: [] },
      unwrap: null,
      rangeMs,
      offsetMs: 0,
      grouping: null,
    },
  };
  const value = await engine.evaluate(query, grid, options);
  return typeof value === 'number' ? [] : [...value];
}
