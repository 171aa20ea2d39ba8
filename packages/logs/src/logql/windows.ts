import type { Pacer } from '../store/pacer.js';
import type { Labels } from '../store/streams.js';
import type { RangeQuery } from './ast.js';
import { emptySeries, type Series, type TimeGrid } from './series.js';

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
    case 'first_over_time':
      return window[0]!;
    case 'last_over_time':
      return window[window.length - 1]!;
    case 'quantile_over_time':
      return quantile(parameter, window);
    case 'rate_counter':
      return rateOfCounter(times, window, startMs, rangeMs);
    default:
      return (REDUCERS[op.replace('_over_time', '') as Reducer] ?? REDUCERS.sum)(window);
  }
}

type Values = Pick<Float64Array, 'length'> & Iterable<number>;
export type Reducer = 'sum' | 'avg' | 'min' | 'max' | 'count' | 'stdvar' | 'stddev';

/** Aggregations of the values in a window, or in a vector at a point. */
export const REDUCERS: Readonly<Record<Reducer, (values: Values) => number>> = {
  sum,
  avg: (values) => sum(values) / values.length,
  min: (values) => extreme(values, (a, b) => a < b),
  max: (values) => extreme(values, (a, b) => a > b),
  count: ({ length }) => length,
  stdvar: variance,
  stddev: (values) => Math.sqrt(variance(values)),
};

function sum(values: Values): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

/** Returns the minimum or maximum; NaN only if all values are NaN. */
function extreme(values: Values, isBetter: (a: number, b: number) => boolean): number {
  let best = Number.NaN;
  for (const value of values) if (Number.isNaN(best) || isBetter(value, best)) best = value;
  return best;
}

/** Interpolates linearly between the nearest ranks. As in Prometheus, NaN is below all numbers. */
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

/** Returns the variance of a whole population, by Welford's method; NaN if any value is not finite. */
function variance(values: Values): number {
  let [mean, squares, count] = [0, 0, 0];
  for (const value of values) {
    const distance = value - mean;
    mean += distance / ++count;
    squares += distance * (value - mean);
  }
  return squares / values.length;
}

/**
 * If the first sample is farther than this many mean distances from the edge of a window, the counter may
 * have started inside it.
 */
const FAR = 1.1;

/**
 * Computes the rate of a counter in a window of ascending times: its increase, corrected for resets and
 * extrapolated to the edges of the window as in Prometheus.
 *
 * @param timesMs from the same origin as `startMs`
 * @returns rate per second; 0 for a single sample
 */
function rateOfCounter(
  timesMs: Float64Array,
  values: Float64Array,
  startMs: number,
  rangeMs: number,
): number {
  const last = values.length - 1;
  if (last < 1) return 0;
  let increase = values[last]! - values[0]!;
  for (let i = 1; i <= last; i++) if (values[i]! < values[i - 1]!) increase += values[i - 1]!;
  const sampledMs = timesMs[last]! - timesMs[0]!;
  const meanMs = sampledMs / last;
  const toEdge = (distanceMs: number) => (distanceMs < FAR * meanMs ? distanceMs : meanMs / 2);
  let beforeMs = toEdge(timesMs[0]! - startMs);
  // A counter is never below zero.
  if (increase > 0 && values[0]! >= 0) beforeMs = Math.min(beforeMs, (sampledMs * values[0]!) / increase);
  const afterMs = toEdge(startMs + rangeMs - timesMs[last]!);
  return (increase * ((sampledMs + beforeMs + afterMs) / sampledMs)) / (rangeMs / 1000);
}
