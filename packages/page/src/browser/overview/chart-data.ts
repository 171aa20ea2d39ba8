import uPlot from '../vendor/uplot.js';

export type Values = readonly (number | null | undefined)[];

/** One line of a chart, or one layer of a stack. */
export interface ChartSeries {
  readonly label: string;
  readonly color: string;
  readonly x: Values;
  readonly y: Values;
  readonly dash?: readonly number[];
  /** Whether the series has few values compared with others; it is then never smoothed. */
  readonly isSparse?: boolean;
  /** Whether every value is marked. */
  readonly hasPoints?: boolean;
  readonly width?: number;
  /** Opacity, 0 to 1. */
  readonly alpha?: number;
  /** Whether the series uses the right axis. */
  readonly isRight?: boolean;
  /** Whether the series is a layer of the stack, on top of the layers after it. */
  readonly isStacked?: boolean;
  /** Whether the legend leaves out the series. */
  readonly isQuiet?: boolean;
}

/** Returns uPlot's table: the x values of all series, then a column of y values for each. */
export function alignedData(series: readonly ChartSeries[]): uPlot.AlignedData {
  const drawn = stacked(series);
  if (drawn.length === 0) return [[]];
  const isShared = drawn.every(({ x }) => x === drawn[0]!.x);
  if (isShared) return [drawn[0]!.x, ...drawn.map(({ y }) => y)] as uPlot.AlignedData;
  return uPlot.join(drawn.map(({ x, y }) => [x, y] as unknown as uPlot.AlignedData));
}

/**
 * Sums cumulatively from the last layer to the first; drawn in series order, each area covers those below it.
 */
function stacked(series: readonly ChartSeries[]): ChartSeries[] {
  const sums = new Array<number>(series.find(({ isStacked }) => isStacked)?.y.length ?? 0).fill(0);
  return series
    .toReversed()
    .map((each) => ({
      ...each,
      y: each.isStacked
        ? each.y.map((value, row) => {
            sums[row]! += value ?? 0;
            return value === null ? null : sums[row];
          })
        : each.y,
    }))
    .toReversed();
}

/**
 * Returns the value at a row of an aligned series or, if the row belongs to other series, the last one
 * before; null if it is missing.
 */
export function valueAt(values: Values, row: number): number | null | undefined {
  for (let at = row; at >= 0; at--) if (values[at] !== undefined) return values[at];
  return undefined;
}
