import type { PageState } from '../page-state.js';
import type { ChartSeries, Values } from './chart-data.js';
import { typicalRange } from './outliers.js';

/** Approximate number of averaged steps, independent of the length of a run and of the visible range. */
export const SMOOTHED_STEPS: Readonly<Record<PageState['smooth'], number>> = {
  off: 0,
  light: 10,
  medium: 100,
  strong: 1_000,
};
const RAW_ALPHA = 0.25;

/**
 * Replaces lines by their moving averages, with the recorded values faint behind; stacks and sparse series
 * stay. Lone outliers are left out, as an average would spread them over many steps.
 *
 * @param width of the averaging window, in x values; 0 for none
 */
export function withSmoothing(series: readonly ChartSeries[], width: number): ChartSeries[] {
  if (width === 0) return [...series];
  return series.flatMap((each) => {
    if (each.isStacked || each.isSparse) return [each];
    const lone = new Set(typicalRange(each.y, false)?.beyond);
    const average = movingAverage(each.x, each.y, width / 2, lone);
    return [
      { ...each, alpha: RAW_ALPHA, isQuiet: true },
      { ...each, alpha: 1, y: average },
    ];
  });
}

/**
 * Computes an exponential moving average, centred, so that it does not lag. The weight of a value is exp(-distance /
 * constant) on both sides, whatever the spacing of the rows, so that downsampling does not change the line.
 *
 * @param leftOut rows without weight, where the average is that of the others
 */
export function movingAverage(
  x: Values,
  y: Values,
  constant: number,
  leftOut: ReadonlySet<number> = new Set(),
): (number | null)[] {
  const before = decayingSums(x, y, constant, leftOut);
  const backwards = new Set([...leftOut].map((row) => y.length - 1 - row));
  const after = decayingSums(x.toReversed(), y.toReversed(), constant, backwards).reverse();
  return y.map((value, row) => {
    const [b, a] = [before[row]!, after[row]!];
    if (value == null || b === null || a === null) return null;
    const own = leftOut.has(row) ? 0 : 1;
    const weight = b.weight + a.weight + own;
    return weight === 0 ? null : (b.sum + a.sum + own * value) / weight;
  });
}

/** Sums the rows before each row, decayed by distance; null for a row without a value. */
function decayingSums(
  x: Values,
  y: Values,
  constant: number,
  leftOut: ReadonlySet<number>,
): ({ readonly sum: number; readonly weight: number } | null)[] {
  let [sum, weight, last] = [0, 0, Number.NaN];
  return y.map((value, row) => {
    const at = x[row];
    if (value == null || at == null) return null;
    const decay = Number.isNaN(last) || constant <= 0 ? 0 : Math.exp(-Math.abs(at - last) / constant);
    [sum, weight, last] = [sum * decay, weight * decay, at];
    const here = { sum, weight };
    if (!leftOut.has(row)) [sum, weight] = [sum + value, weight + 1];
    return here;
  });
}

/** Maximum number of values of a sparse series whose values are marked. */
const MAX_MARKED = 60;

/** Dashes and marks a sparse series; one with many values is only thin, so as not to cover other series. */
export function sparseStyle(
  numValues: number,
): Pick<ChartSeries, 'isSparse' | 'hasPoints' | 'dash' | 'width'> {
  return numValues > MAX_MARKED
    ? { isSparse: true, width: 1 }
    : { isSparse: true, hasPoints: true, dash: [4, 3] };
}
