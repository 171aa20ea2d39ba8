import type { BlockReader, FileView } from '../store/log-reader.js';
import { labelsKey } from '../store/streams.js';
import { aggregate } from './aggregate.js';
import type { Grouping, Matcher, MetricQuery, RangeQuery, Stage } from './ast.js';
import { combine } from './binary.js';
import { evaluateRange } from './range-query.js';
import { Regex, RegexGroup } from './regex.js';
import { emptySeries, type Series, type TimeGrid, type Value } from './series.js';

export interface MetricSource {
  /** Opens snapshots (`LogEngine.open`). */
  open(matchers: readonly Matcher[], sinceMs: number): Promise<FileView[]>;
  readonly reader: BlockReader;
}

/**
 * Evaluates a metric query at every point of a grid. Series are sorted by their labels, except for an instant
 * query that sorts by value.
 */
export async function evaluateMetric(
  query: MetricQuery,
  grid: TimeGrid,
  source: MetricSource,
): Promise<Value> {
  const value = await evaluate(query, grid, source);
  if (typeof value === 'number' || (grid.numPoints === 1 && isOrdered(query))) return value;
  const keyed = value.map((series) => ({ series, key: labelsKey(series.labels) }));
  return keyed.sort((a, b) => (a.key < b.key ? -1 : 1)).map(({ series }) => series);
}

/** Whether a query determines the order of its values. */
function isOrdered(query: MetricQuery): boolean {
  if (query.kind === 'aggregate') return ['topk', 'bottomk', 'sort', 'sort_desc'].includes(query.op);
  if (query.kind === 'binary') return isOrdered(query.left) || isOrdered(query.right);
  return query.kind === 'label-replace' && isOrdered(query.inner);
}

async function evaluate(query: MetricQuery, grid: TimeGrid, source: MetricSource): Promise<Value> {
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
      const value = await evaluate(inner, grid, source);
      return typeof value === 'number' ? value : aggregate(op, parameter, grouping, value, grid);
    }
    case 'binary': {
      const left = await evaluate(query.left, grid, source);
      const right = await evaluate(query.right, grid, source);
      return combine(query, left, right, grid);
    }
    case 'label-replace': {
      const value = await evaluate(query.inner, grid, source);
      return typeof value === 'number' ? value : replaceLabels(query, value);
    }
  }
}

/** Whether a sum of series equals the range aggregation of all their lines together. */
function isAdditive({ op, unwrap, grouping }: RangeQuery): boolean {
  if (op === 'absent_over_time') return false;
  return grouping === null && (unwrap === null || op === 'sum_over_time' || op === 'rate');
}

async function evaluateRangeOf(
  query: RangeQuery,
  grid: TimeGrid,
  source: MetricSource,
  sumBy: Grouping | null,
): Promise<readonly Series[]> {
  const views = await source.open(query.log.matchers, grid.startMs - query.offsetMs - query.rangeMs);
  const needed =
    sumBy !== null && !sumBy.without && sumBy.labels.length === 0 ? withoutParsers(query) : query;
  return evaluateRange(needed, { views, reader: source.reader, grid, sumBy });
}

/** Stages that change nothing but labels. */
const LABEL_STAGES: readonly string[] = ['json', 'logfmt', 'regexp', 'pattern', 'drop', 'keep'];

/**
 * Removes parsers whose labels are not read, in a sum of all lines. As in Loki, their errors do not matter
 * then.
 */
function withoutParsers(query: RangeQuery): RangeQuery {
  const { stages } = query.log;
  const isUnread = ({ kind }: Stage) =>
    kind === 'line-filter' || kind === 'decolorize' || LABEL_STAGES.includes(kind);
  if (query.unwrap !== null || !stages.every(isUnread)) return query;
  return {
    ...query,
    log: { ...query.log, stages: stages.filter(({ kind }) => !LABEL_STAGES.includes(kind)) },
  };
}

/** Sets a label if another one matches; an empty value removes it. */
function replaceLabels(
  { target, replacement, source, pattern }: Extract<MetricQuery, { kind: 'label-replace' }>,
  series: readonly Series[],
): Series[] {
  const regex = new Regex(pattern, new RegexGroup());
  return series.map((each) => {
    const value = regex.expandWhole(each.labels.get(source) ?? '', replacement);
    if (value === null) return each;
    const labels = new Map(each.labels);
    if (value === '') labels.delete(target);
    else labels.set(target, value);
    return { ...each, labels };
  });
}
