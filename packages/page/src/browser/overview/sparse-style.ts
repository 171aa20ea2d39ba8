import type { ChartSeries } from './chart-data.js';

/** Values of a sparse series that are marked each. */
const MAX_MARKED = 60;

/** A sparse series is dashed and marked; one of many values is neither, and thin: it would cover the others. */
export function sparseStyle(
  numValues: number,
): Pick<ChartSeries, 'isSparse' | 'hasPoints' | 'dash' | 'width'> {
  return numValues > MAX_MARKED
    ? { isSparse: true, width: 1 }
    : { isSparse: true, hasPoints: true, dash: [4, 3] };
}
