import type { Pacer } from '../store/pacer.js';
import type { Labels } from '../store/streams.js';
import type { RangeQuery } from './ast.js';
import { emptySeries, type Series, type TimeGrid } from './series.js';

/** Samples of one series, in any order. */
export interface Samples {
  readonly labels: Labels;
  readonly timesMs: number[];
  readonly values: number[];
}

/** Evaluates an `_over_time` function at every point t, over the samples in (t - range, t]. */
export async function evaluateWindows(
  { op, parameter, rangeMs, offsetMs }: RangeQuery,
  { labels, timesMs, values }: Samples,
  grid: TimeGrid,
  pacer: Pacer,
): Promise<Series> {
  const order = timesMs.map((_, i) => i).sort((a, b) => timesMs[a] - timesMs[b]);
  const times = Float64Array.from(order, (i) => timesMs[i]);
  const sorted = Float64Array.from(order, (i) => values[i]);
  const series = emptySeries(labels, grid);
  let from = 0;
  let to = 0;
  for (let point = 0; point < grid.numPoints; point++) {
    if (pacer.isDue) await pacer.rest();
    const atMs = grid.startMs + point * grid.stepMs - offsetMs;
    while (to < times.length && times[to] <= atMs) to++;
    while (from < to && times[from] <= atMs - rangeMs) from++;
    if (from === to) continue;
    series.values[point] = reduce(op, parameter, sorted.subarray(from, to));
    series.present[point] = 1;
  }
  return series;
}

function reduce(op: RangeQuery['op'], parameter: number, window: Float64Array): number {
  switch (op) {
    case 'avg_over_time':
      return sum(window) / window.length;
    case 'min_over_time':
      return extreme(window, (a, b) => a < b);
    case 'max_over_time':
      return extreme(window, (a, b) => a > b);
    case 'quantile_over_time':
      return quantile(parameter, window);
    default:
      return sum(window);
  }
}

function sum(window: Float64Array): number {
  let total = 0;
  for (const value of window) total += value;
  return total;
}

/** NaN only if all values are NaN. */
function extreme(window: Float64Array, isBetter: (a: number, b: number) => boolean): number {
  let best = Number.NaN;
  for (const value of window) if (Number.isNaN(best) || isBetter(value, best)) best = value;
  return best;
}

/** Linear interpolation between the nearest ranks, as in Prometheus. */
function quantile(share: number, values: Float64Array): number {
  if (share < 0) return Number.NEGATIVE_INFINITY;
  if (share > 1) return Number.POSITIVE_INFINITY;
  const sorted = values.slice().sort();
  const rank = share * (sorted.length - 1);
  const below = Math.floor(rank);
  const above = Math.min(sorted.length - 1, below + 1);
  const weight = rank - below;
  return sorted[below] * (1 - weight) + sorted[above] * weight;
}
