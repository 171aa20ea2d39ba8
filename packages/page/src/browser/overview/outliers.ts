import type { Values } from './chart-data.js';

/** Number of values in the running median. */
const WINDOW = 9;
/**
 * An outlier is farther from the running median than this many times the typical distance (5.4 standard
 * deviations of a normal distribution).
 */
const FAR = 8;

interface TypicalRange {
  readonly low: number;
  readonly high: number;
  /** Rows of the outliers. */
  readonly beyond: readonly number[];
}

/** A value beyond the scale of a chart. */
export interface Far {
  readonly x: number;
  readonly value: number;
}

/**
 * Returns the scale of a chart that leaves out the outliers of its columns, and those outliers; null if there
 * are none.
 *
 * @param range first and last x that count; null for all
 */
export function clippedScale(
  xs: Values,
  columns: readonly Values[],
  range: readonly [number, number] | null,
  startsAtZero: boolean,
): { readonly scale: readonly [number, number]; readonly far: readonly Far[] } | null {
  const [first, last] = range ?? [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  const rows = Array.from(xs.keys()).filter((row) => xs[row]! >= first && xs[row]! <= last);
  const ranges = columns.flatMap((column) => {
    const values = rows.map((row) => column[row]);
    const typical = typicalRange(values, startsAtZero);
    return typical === null ? [] : [{ ...typical, values }];
  });
  const [low, high] = [minOf(ranges.map((each) => each.low)), maxOf(ranges.map((each) => each.high))];
  const far = ranges.flatMap(({ beyond, values }) =>
    beyond.map((index) => ({ x: xs[rows[index]!]!, value: values[index]! })),
  );
  const outside = far.filter(({ value }) => value > high || value < low);
  return outside.length === 0 ? null : { scale: [low, high], far: outside };
}

/**
 * Returns the range of values without lone outliers: those far from their neighbours, and so far from the running
 * median that they would set the scale. A lasting rise is not an outlier, however steep. Null without values.
 *
 * @param startsAtZero whether the scale begins at 0
 */
export function typicalRange(values: Values, startsAtZero: boolean): TypicalRange | null {
  const rows = values.flatMap((value, row) => (value != null && Number.isFinite(value) ? [row] : []));
  if (rows.length === 0) return null;
  const known = rows.map((row) => values[row] as number);
  const medians = known.map((_, index) => medianAround(known, index));
  const far = FAR * medianOf(known.map((value, index) => Math.abs(value - medians[index]!)));
  const [least, most] = [minOf(medians), maxOf(medians)];
  const span = most - (startsAtZero ? Math.min(0, least) : least);
  const isOutlier = known.map(
    (value, index) =>
      Math.abs(value - medians[index]!) > far && (value > most + span || value < least - span),
  );
  const typical = known.filter((_, index) => !isOutlier[index]);
  return {
    low: minOf(typical),
    high: maxOf(typical),
    beyond: rows.filter((_, index) => isOutlier[index]),
  };
}

function medianAround(values: readonly number[], index: number): number {
  return medianOf(values.slice(Math.max(0, index - (WINDOW >> 1)), index + (WINDOW >> 1) + 1));
}

function medianOf(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

function minOf(values: readonly number[]): number {
  return values.reduce((least, value) => Math.min(least, value), Number.POSITIVE_INFINITY);
}

function maxOf(values: readonly number[]): number {
  return values.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
}
