import type { BlockReader, FileView } from '../store/log-reader.js';
import { aggregate } from './aggregate.js';
import type { Grouping, Matcher, MetricQuery, RangeQuery } from './ast.js';
import { combine } from './binary.js';
import { evaluateRange } from './range-query.js';
import { emptySeries, type Series, type TimeGrid, type Value } from './series.js';

export interface MetricSource {
  /** As `LogEngine.open`. */
  open(matchers: readonly Matcher[], sinceMs: number): Promise<FileView[]>;
  readonly reader: BlockReader;
}

/** Evaluates a metric query at every point of a grid. */
export async function evaluateMetric(
  query: MetricQuery,
  grid: TimeGrid,
  source: MetricSource,
): Promise<Value> {
  switch (query.kind) {
    case 'number':
      return query.value;
    case 'vector': {
      const series = emptySeries(new Map(), grid);
      series.values.fill(query.value);
      series.present.fill(1);
      return [series];
    }
    case 'range':
      return evaluateRangeOf(query, grid, source, null);
    case 'aggregate': {
      const { op, parameter, grouping, inner } = query;
      if (op === 'sum' && inner.kind === 'range' && isAdditive(inner))
        return evaluateRangeOf(inner, grid, source, grouping ?? { without: false, labels: [] });
      const value = await evaluateMetric(inner, grid, source);
      return typeof value === 'number' ? value : aggregate(op, parameter, grouping, value, grid);
    }
    case 'binary': {
      const left = await evaluateMetric(query.left, grid, source);
      const right = await evaluateMetric(query.right, grid, source);
      return combine(query, left, right, grid);
    }
  }
}

/** Whether a sum of series equals the range aggregation of all their lines together. */
function isAdditive({ op, unwrap, grouping }: RangeQuery): boolean {
  return grouping === null && (unwrap === null || op === 'sum_over_time' || op === 'rate');
}

async function evaluateRangeOf(
  query: RangeQuery,
  grid: TimeGrid,
  source: MetricSource,
  sumBy: Grouping | null,
): Promise<readonly Series[]> {
  const views = await source.open(query.log.matchers, grid.startMs - query.offsetMs - query.rangeMs);
  return evaluateRange(query, { views, reader: source.reader, grid, sumBy });
}
