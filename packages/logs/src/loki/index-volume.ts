import type { LogQuery, MetricQuery } from '../logql/ast.js';
import type { LogEngine } from '../logql/log-engine.js';
import type { Series, TimeGrid } from '../logql/series.js';
import type { TimeRange } from '../store/instant.js';

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
  signal: AbortSignal,
): Promise<Series[]> {
  // A range vector covers (t - range, t], a time range [start, end): both ends move by 1 ms.
  const grid = { startMs: end.timeMs - 1, stepMs: 1, numPoints: 1 };
  return volumeAt(engine, query, grid, Math.max(1, end.timeMs - start.timeMs), signal);
}

/** Lines or bytes of each step of a grid. */
export function volumePerStep(
  engine: LogEngine,
  query: VolumeQuery,
  grid: TimeGrid,
  signal: AbortSignal,
): Promise<Series[]> {
  return volumeAt(engine, query, grid, grid.stepMs, signal);
}

/** Evaluates `sum by (labels) (op({matchers}[range]))`. */
async function volumeAt(
  engine: LogEngine,
  { matchers, op, labels }: VolumeQuery,
  grid: TimeGrid,
  rangeMs: number,
  signal: AbortSignal,
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
  const value = await engine.evaluate(query, grid, { signal });
  return typeof value === 'number' ? [] : [...value];
}
