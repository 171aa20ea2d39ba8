import type { AggregationOp, Grouping } from './ast.js';
import { ByLabels, emptySeries, projection, type Series, type TimeGrid } from './series.js';
import { REDUCERS } from './windows.js';

const NO_LABELS: Grouping = { without: false, labels: [] };

type Order = (a: number, b: number) => number;
const ASCENDING: Order = (a, b) => Number(a > b) - Number(a < b);
const DESCENDING: Order = (a, b) => ASCENDING(b, a);

/** Aggregates vectors at every point of the grid; without a grouping, over all series. */
export function aggregate(
  op: AggregationOp,
  parameter: number,
  grouping: Grouping | null,
  series: readonly Series[],
  grid: TimeGrid,
): Series[] {
  if (op === 'sort') return byValue(series, 0, ASCENDING);
  if (op === 'sort_desc') return byValue(series, 0, DESCENDING);
  const project = projection(grouping ?? NO_LABELS);
  const groups = new ByLabels((labels) => ({ labels, members: [] as Series[] }), grid);
  for (const each of series) groups.get(project(each.labels)).members.push(each);
  return groups.all.flatMap(({ labels, members }) => {
    if (op === 'topk') return pickK(members, parameter, grid, DESCENDING);
    if (op === 'bottomk') return pickK(members, parameter, grid, ASCENDING);
    const result = emptySeries(labels, grid);
    for (let point = 0; point < grid.numPoints; point++) {
      const values = members
        .filter(({ present }) => present[point] === 1)
        .map(({ values }) => values[point]!);
      if (values.length === 0) continue;
      result.values[point] = REDUCERS[op](values);
      result.present[point] = 1;
    }
    return [result];
  });
}

/** Sorts by the value at a point, which is the only one of an instant query; NaN comes last. */
function byValue(series: readonly Series[], point: number, order: Order): Series[] {
  const value = ({ values }: Series) => values[point]!;
  const isNaNAt = (each: Series) => Number(Number.isNaN(value(each)));
  return [...series].sort((a, b) => isNaNAt(a) - isNaNAt(b) || order(value(a), value(b)));
}

/** Keeps the values of the first k members at each point; the result has the order of the first point. */
function pickK(members: readonly Series[], k: number, grid: TimeGrid, order: Order): Series[] {
  const picked = new Map<Series, Series>();
  for (let point = 0; point < grid.numPoints; point++) {
    const present = members.filter(({ present }) => present[point] === 1);
    for (const member of byValue(present, point, order).slice(0, k)) {
      const result = picked.get(member) ?? emptySeries(member.labels, grid);
      picked.set(member, result);
      result.values[point] = member.values[point]!;
      result.present[point] = 1;
    }
  }
  return [...picked.values()];
}
