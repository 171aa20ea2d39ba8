import type { Pacer } from '../store/pacer.js';
import type { Labels } from '../store/streams.js';
import type { RangeQuery } from './ast.js';
import { rateOfCounter } from './rate-counter.js';
import { emptySeries, type Series, type TimeGrid } from './series.js';
import { variance } from './variance.js';

/** Samples of one series, in any order. */
export interface Samples {
  readonly labels: Labels;
  /** Times since the start of the grid. */
  readonly timesMs: number[];
  readonly values: number[];
}

/** Evaluates an `_over_time` function at every point t, over the samples in (t - range, t]. */
export async function evaluateWindows(
  query: RangeQuery,
  { labels, timesMs, values }: Samples,
  grid: TimeGrid,
  pacer: Pacer,
): Promise<Series> {
  const { rangeMs, offsetMs } = query;
  const order = timesMs.map((_, i) => i).sort((a, b) => timesMs[a]! - timesMs[b]!);
  const times = Float64Array.from(order, (i) => timesMs[i]!);
  const sorted = Float64Array.from(order, (i) => values[i]!);
  const series = emptySeries(labels, grid);
  let from = 0;
  let to = 0;
  for (let point = 0; point < grid.numPoints; point++) {
    if (pacer.isDue) await pacer.rest();
    const atMs = point * grid.stepMs - offsetMs;
    while (to < times.length && times[to]! <= atMs) to++;
    while (from < to && times[from]! <= atMs - rangeMs) from++;
    if (from === to) continue;
    series.values[point] = reduce(query, times.subarray(from, to), sorted.subarray(from, to), atMs - rangeMs);
    series.present[point] = 1;
  }
  return series;
}

function reduce(
  { op, parameter, rangeMs }: RangeQuery,
  times: Float64Array,
  window: Float64Array,
  startMs: number,
): number {
  switch (op) {
    case 'avg_over_time':
      return sum(window) / window.length;
    case 'min_over_time':
      return extreme(window, (a, b) => a < b);
    case 'max_over_time':
      return extreme(window, (a, b) => a > b);
    case 'first_over_time':
      return window[0]!;
    case 'last_over_time':
      return window[window.length - 1]!;
    case 'stdvar_over_time':
      return variance(window);
    case 'stddev_over_time':
      return Math.sqrt(variance(window));
    case 'quantile_over_time':
      return quantile(parameter, window);
    case 'rate_counter':
      return rateOfCounter(times, window, startMs, rangeMs);
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

/** Linear interpolation between the nearest ranks, as in Prometheus: NaN is below all numbers. */
function quantile(share: number, values: Float64Array): number {
  if (share > 1) return Number.POSITIVE_INFINITY;
  const numbers = values.filter((value) => !Number.isNaN(value)).sort();
  const sorted = new Float64Array(values.length).fill(Number.NaN);
  sorted.set(numbers, values.length - numbers.length);
  const rank = share * (sorted.length - 1);
  const below = Math.floor(rank);
  const above = Math.min(sorted.length - 1, below + 1);
  const weight = rank - below;
  return sorted[below]! * (1 - weight) + sorted[above]! * weight;
}
