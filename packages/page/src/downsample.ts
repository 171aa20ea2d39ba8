import type { Numbers } from './number-table.js';

/**
 * Downsamples the rows `from` to `to` (exclusive) by minimum and maximum to about `maxRows`, so that no spike
 * is lost. Of each bucket of equal size it keeps the rows with the minimum and maximum of each column; it
 * also keeps the first and last row of all.
 *
 * @param columns NaN for a missing value
 * @returns ascending row indices
 */
export function downsample(columns: readonly Numbers[], from: number, to: number, maxRows: number): number[] {
  const numRows = to - from;
  if (numRows <= maxRows) return Array.from({ length: Math.max(0, numRows) }, (_, index) => from + index);
  const rows = new Set([from, to - 1]);
  for (const [start, end] of bucketsOf(from, to, maxRows / (2 * columns.length)))
    for (const column of columns) addExtremes(rows, column, start, end);
  return [...rows].sort((a, b) => a - b);
}

/** Splits the rows `from` to `to` (exclusive) into at most `maxBuckets` buckets of equal size. */
export function bucketsOf(from: number, to: number, maxBuckets: number): (readonly [number, number])[] {
  const numRows = Math.max(0, to - from);
  const length = Math.min(numRows, Math.max(1, Math.floor(maxBuckets)));
  const edge = (bucket: number) => from + Math.floor((bucket * numRows) / length);
  return Array.from({ length }, (_, bucket) => [edge(bucket), edge(bucket + 1)] as const);
}

/** Returns the mean of each bucket without missing values; NaN if all values are missing. */
export function meansOf(column: Numbers, buckets: readonly (readonly [number, number])[]): number[] {
  return buckets.map(([start, end]) => {
    let [sum, count] = [0, 0];
    for (let row = start; row < end; row++) {
      if (Number.isNaN(column[row])) continue;
      sum += column[row]!;
      count++;
    }
    return count === 0 ? Number.NaN : sum / count;
  });
}

/** Returns the row of the maximum of each bucket; its first row if all values are missing. */
export function rowsOfMaxima(column: Numbers, buckets: readonly (readonly [number, number])[]): number[] {
  return buckets.map(([start, end]) => {
    let most = start;
    for (let row = start; row < end; row++)
      if (column[row]! > column[most]! || Number.isNaN(column[most])) most = row;
    return most;
  });
}

function addExtremes(rows: Set<number>, column: Numbers, start: number, end: number): void {
  let [least, most] = [-1, -1];
  for (let row = start; row < end; row++) {
    const value = column[row]!;
    if (Number.isNaN(value)) continue;
    if (least === -1 || value < column[least]!) least = row;
    if (most === -1 || value > column[most]!) most = row;
  }
  if (least === -1) return;
  rows.add(least);
  rows.add(most);
}
