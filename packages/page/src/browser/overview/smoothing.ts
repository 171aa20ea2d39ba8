import type { PageState } from '../page-state.js';
import type { ChartSeries, Values } from './chart-data.js';
import { typicalRange } from './outliers.js';

/** The time constant as a share of the x values in view. */
const SHARES: Readonly<Record<PageState['smooth'], number>> = {
  off: 0,
  light: 0.01,
  medium: 0.03,
  strong: 0.1,
};
const RAW_ALPHA = 0.25;

/**
 * Lines become their moving averages, with the recorded values faint behind; stacks and sparse series stay. Lone
 * outliers are left out: an average would drag each of them behind it.
 */
export function withSmoothing(
  series: readonly ChartSeries[],
  smooth: PageState['smooth'],
  range: readonly [number, number] | null,
): ChartSeries[] {
  if (smooth === 'off') return [...series];
  return series.flatMap((each) => {
    if (each.isStacked || each.hasPoints) return [each];
    const [first, last] = range ?? [each.x[0] ?? 0, each.x.at(-1) ?? 0];
    const lone = new Set(typicalRange(each.y, false)?.beyond);
    const average = movingAverage(each.x, each.y, SHARES[smooth] * (last - first), lone);
    return [
      { ...each, alpha: RAW_ALPHA, isQuiet: true },
      { ...each, alpha: 1, y: average },
    ];
  });
}

/**
 * Exponential moving average. A value weighs exp(-distance / constant), whatever the distance of its neighbours:
 * downsampling does not change the line.
 *
 * @param leftOut rows that have no weight; there the average stays as it was
 */
export function movingAverage(
  x: Values,
  y: Values,
  constant: number,
  leftOut: ReadonlySet<number> = new Set(),
): (number | null)[] {
  let [sum, weight, before] = [0, 0, Number.NaN];
  return y.map((value, row) => {
    const at = x[row];
    if (value == null || at == null) return null;
    if (!leftOut.has(row)) {
      const decay = Number.isNaN(before) || constant <= 0 ? 0 : Math.exp((before - at) / constant);
      before = at;
      sum = sum * decay + value;
      weight = weight * decay + 1;
    }
    return weight === 0 ? null : sum / weight;
  });
}
