import type { AggregationOp, Grouping } from './ast.js';
import { ByLabels, emptySeries, projection, type Series, type TimeGrid } from './series.js';

const NO_LABELS: Grouping = { without: false, labels: [] };

/** Vector aggregation at every point of the grid; without a grouping over all series. */
export function aggregate(
  op: AggregationOp,
  parameter: number,
  grouping: Grouping | null,
  series: readonly Series[],
  grid: TimeGrid,
): Series[] {
  const project = projection(grouping ?? NO_LABELS);
  const groups = new ByLabels((labels) => ({ labels, members: [] as Series[] }), grid);
  for (const each of series) groups.get(project(each.labels)).members.push(each);
  return groups.all.flatMap(({ labels, members }) => {
    if (op === 'topk') return pickK(members, parameter, grid, (a, b) => b - a);
    if (op === 'bottomk') return pickK(members, parameter, grid, (a, b) => a - b);
    const result = emptySeries(labels, grid);
    for (let point = 0; point < grid.numPoints; point++) {
      const values = members.filter(({ present }) => present[point] === 1).map(({ values }) => values[point]);
      if (values.length === 0) continue;
      result.values[point] = reduce(op, values);
      result.present[point] = 1;
    }
    return [result];
  });
}

function reduce(op: Exclude<AggregationOp, 'topk' | 'bottomk'>, values: readonly number[]): number {
  switch (op) {
    case 'sum':
      return values.reduce((sum, value) => sum + value, 0);
    case 'avg':
      return values.reduce((sum, value) => sum + value, 0) / values.length;
    case 'min':
      return values.reduce((least, value) => (value < least || Number.isNaN(least) ? value : least));
    case 'max':
      return values.reduce((most, value) => (value > most || Number.isNaN(most) ? value : most));
    case 'count':
      return values.length;
  }
}

/** At each point keeps the values of the first k members in order; NaN sorts last. */
function pickK(
  members: readonly Series[],
  k: number,
  grid: TimeGrid,
  order: (a: number, b: number) => number,
): Series[] {
  const picked = members.map(({ labels }) => emptySeries(labels, grid));
  for (let point = 0; point < grid.numPoints; point++) {
    const value = (member: number) => members[member].values[point];
    const isNaNAt = (member: number) => Number(Number.isNaN(value(member)));
    const first = members
      .flatMap(({ present }, member) => (present[point] === 1 ? [member] : []))
      .sort((a, b) => isNaNAt(a) - isNaNAt(b) || order(value(a), value(b)) || a - b)
      .slice(0, Math.max(0, Math.floor(k)));
    for (const member of first) {
      picked[member].values[point] = value(member);
      picked[member].present[point] = 1;
    }
  }
  return picked.filter(({ present }) => present.includes(1));
}
