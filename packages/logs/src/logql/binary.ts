import { LogsError } from '../errors.js';
import { type Labels, labelsKey } from '../store/streams.js';
import type { BinaryOp, MetricQuery } from './ast.js';
import { emptySeries, type Series, type TimeGrid, type Value } from './series.js';

type Binary = Extract<MetricQuery, { kind: 'binary' }>;

/** Null where a comparison filters the value out. */
type Combine = (a: number, b: number) => number | null;

/**
 * Applies a binary operator to scalars and vectors; vectors are matched one-to-one.
 *
 * @throws LogsError `BAD_INPUT` if several series of a side match
 */
export function combine(query: Binary, left: Value, right: Value, grid: TimeGrid): Value {
  const { op, bool } = query;
  if (typeof left === 'number' && typeof right === 'number') return calculate(op, left, right);
  const apply = combiner(op, bool);
  if (typeof right === 'number') return map(left as readonly Series[], grid, (value) => apply(value, right));
  if (typeof left === 'number') {
    // A filtering comparison returns the value of the vector, on whichever side it stands.
    const keep = !isArithmetic(op) && !bool;
    return map(right, grid, (value) => {
      const result = apply(left, value);
      return result === null || !keep ? result : value;
    });
  }
  return op === 'and' || op === 'or' || op === 'unless'
    ? combineSets(query, left, right, grid)
    : combineVectors(query, apply, left, right, grid);
}

function map(series: readonly Series[], grid: TimeGrid, apply: (value: number) => number | null): Series[] {
  return series
    .map(({ labels, values, present }) => {
      const result = emptySeries(labels, grid);
      for (let point = 0; point < grid.numPoints; point++)
        if (present[point] === 1) put(result, point, apply(values[point]));
      return result;
    })
    .filter(hasValues);
}

function put(series: Series, point: number, value: number | null): void {
  if (value === null) return;
  series.values[point] = value;
  series.present[point] = 1;
}

function hasValues({ present }: Series): boolean {
  return present.includes(1);
}

function combineVectors(
  query: Binary,
  apply: Combine,
  left: readonly Series[],
  right: readonly Series[],
  grid: TimeGrid,
): Series[] {
  const project = matchingLabels(query);
  const partners = uniqueBy(right, project, 'right');
  uniqueBy(left, project, 'left');
  return left
    .flatMap((a) => {
      const labels = project(a.labels);
      const b = partners.get(labelsKey(labels));
      if (b === undefined) return [];
      const result = emptySeries(labels, grid);
      for (let point = 0; point < grid.numPoints; point++)
        if (a.present[point] === 1 && b.present[point] === 1)
          put(result, point, apply(a.values[point], b.values[point]));
      return [result];
    })
    .filter(hasValues);
}

function combineSets(
  query: Binary,
  left: readonly Series[],
  right: readonly Series[],
  grid: TimeGrid,
): Series[] {
  const project = matchingLabels(query);
  const keyOf = ({ labels }: Series) => labelsKey(project(labels));
  /** For each set of matching labels, the points at which some series has a value. */
  const presence = (side: readonly Series[]) => {
    const points = new Map<string, Uint8Array>();
    for (const series of side) {
      const at = points.get(keyOf(series)) ?? new Uint8Array(grid.numPoints);
      for (let point = 0; point < grid.numPoints; point++) at[point] |= series.present[point];
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
  if (query.op === 'and') return filter(left, presence(right), 1);
  if (query.op === 'unless') return filter(left, presence(right), 0);
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
        values: each.values.map((value, point) => (each.present[point] === 1 ? value : other.values[point])),
        present: each.present.map((is, point) => is | other.present[point]),
      });
  }
  return [...merged.values()];
}

function matchingLabels({ matching: { on, labels } }: Binary): (labels: Labels) => Labels {
  const named = new Set(labels);
  return (all) => new Map([...all].filter(([name]) => named.has(name) === on));
}

function uniqueBy(
  series: readonly Series[],
  project: (labels: Labels) => Labels,
  side: string,
): Map<string, Series> {
  const byKey = new Map<string, Series>();
  for (const each of series) {
    const key = labelsKey(project(each.labels));
    if (byKey.has(key))
      throw new LogsError(
        'BAD_INPUT',
        `multiple matches for labels: several series of the ${side} side match ${key}; aggregate that side first`,
      );
    byKey.set(key, each);
  }
  return byKey;
}

function isArithmetic(op: BinaryOp): boolean {
  return ['+', '-', '*', '/', '%', '^'].includes(op);
}

/** A comparison returns the left value or, with `bool`, 0 or 1. */
function combiner(op: BinaryOp, bool: boolean): Combine {
  if (isArithmetic(op) || bool) return (a, b) => calculate(op, a, b);
  return (a, b) => (calculate(op, a, b) === 1 ? a : null);
}

function calculate(op: BinaryOp, a: number, b: number): number {
  switch (op) {
    case '+':
      return a + b;
    case '-':
      return a - b;
    case '*':
      return a * b;
    case '/':
      return a / b;
    case '%':
      return a % b;
    case '^':
      return a ** b;
    case '==':
      return Number(a === b);
    case '!=':
      return Number(a !== b);
    case '>':
      return Number(a > b);
    case '>=':
      return Number(a >= b);
    case '<':
      return Number(a < b);
    case '<=':
      return Number(a <= b);
    default:
      throw new Error(`${op} does not calculate`);
  }
}
