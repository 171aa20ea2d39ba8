/**
 * Min-max downsampling of the rows `from` to `to` (exclusive) to about `maxRows`: of each bucket of equal
 * size it keeps the rows with the minimum and maximum of each column, and the first and last row of all. So
 * no spike is lost.
 *
 * @param columns NaN for a missing value
 * @returns ascending row indices
 */
export function downsample(
  columns: readonly (readonly number[])[],
  from: number,
  to: number,
  maxRows: number,
): number[] {
  const numRows = to - from;
  if (numRows <= maxRows) return Array.from({ length: Math.max(0, numRows) }, (_, index) => from + index);
  const numBuckets = Math.max(1, Math.floor(maxRows / (2 * columns.length)));
  const rows = new Set([from, to - 1]);
  for (let bucket = 0; bucket < numBuckets; bucket++) {
    const start = from + Math.floor((bucket * numRows) / numBuckets);
    const end = from + Math.floor(((bucket + 1) * numRows) / numBuckets);
    for (const column of columns) addExtremes(rows, column, start, end);
  }
  return [...rows].sort((a, b) => a - b);
}

function addExtremes(rows: Set<number>, column: readonly number[], start: number, end: number): void {
  let [least, most] = [-1, -1];
  for (let row = start; row < end; row++) {
    const value = column[row];
    if (Number.isNaN(value)) continue;
    if (least === -1 || value < column[least]) least = row;
    if (most === -1 || value > column[most]) most = row;
  }
  if (least === -1) return;
  rows.add(least);
  rows.add(most);
}
