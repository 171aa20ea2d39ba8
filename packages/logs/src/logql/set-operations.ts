import { labelsKey } from '../store/streams.js';
import type { BinaryOp, Matching } from './ast.js';
import { hasValues, matchingKey } from './combine.js';
import type { Series, TimeGrid } from './series.js';

/** `and`, `unless` and `or` of two vectors, at every point of the grid. */
export function combineSets(
  op: BinaryOp,
  matching: Matching,
  left: readonly Series[],
  right: readonly Series[],
  grid: TimeGrid,
): Series[] {
  const keyOf = matchingKey(matching);
  /** Points at which some series has a value, for each set of matching labels. */
  const presence = (side: readonly Series[]) => {
    const points = new Map<string, Uint8Array>();
    for (const series of side) {
      const at = points.get(keyOf(series)) ?? new Uint8Array(grid.numPoints);
      for (let point = 0; point < grid.numPoints; point++) at[point]! |= series.present[point]!;
      points.set(keyOf(series), at);
    }
    return points;
  };
  const filter = (side: readonly Series[], other: ReadonlyMap<string, Uint8Array>, wanted: 0 | 1) =>
    side
      .map((series) => {
        const at = other.get(keyOf(series));
        const present = series.present.map((is, point) =>
          is === 1 && (at?.[point] ?? 0) === wanted ? 1 : 0,
        );
        return { ...series, present };
      })
      .filter(hasValues);
  if (op === 'and') return filter(left, presence(right), 1);
  if (op === 'unless') return filter(left, presence(right), 0);
  return mergeEqual([...left, ...filter(right, presence(left), 0)]);
}

/** Merges series with the same labels; no two have a value at the same point. */
function mergeEqual(series: readonly Series[]): Series[] {
  const merged = new Map<string, Series>();
  for (const each of series) {
    const key = labelsKey(each.labels);
    const other = merged.get(key);
    if (other === undefined) merged.set(key, each);
    else
      merged.set(key, {
        labels: each.labels,
        values: each.values.map((value, point) => (each.present[point] === 1 ? value : other.values[point]!)),
        present: each.present.map((is, point) => is | other.present[point]!),
      });
  }
  return [...merged.values()];
}
