import { LogsError } from '../errors.js';
import { type Labels, labelsKey } from '../store/streams.js';
import { type BinaryOp, type Comparison, type Matching, type MetricQuery, SET_OPS } from './ast.js';
import { COMPARE } from './label-test.js';
import { ByLabels, emptySeries, labelsText, type Series, type TimeGrid, type Value } from './series.js';

type Binary = Extract<MetricQuery, { kind: 'binary' }>;

/**
 * Applies a binary operator to scalars and vectors.
 *
 * @throws LogsError `BAD_INPUT` if more series match than the query says
 */
export function combine(query: Binary, left: Value, right: Value, grid: TimeGrid): Value {
  const { op, bool, matching } = query;
  if (typeof left === 'number' && typeof right === 'number') return calculate(op, left, right);
  const apply = combiner(op, bool);
  if (typeof right === 'number') return map(left as readonly Series[], grid, (value) => apply(value, right));
  if (typeof left === 'number') {
    // A filtering comparison returns the value of the vector, even if the vector is on the right.
    const keep = !isArithmetic(op) && !bool;
    return map(right, grid, (value) => {
      const result = apply(left, value);
      return result === null || !keep ? result : value;
    });
  }
  return (SET_OPS as readonly string[]).includes(op)
    ? combineSets(op, matching, left, right, grid)
    : matchVectors(matching, apply, left, right, grid);
}

function map(series: readonly Series[], grid: TimeGrid, apply: (value: number) => number | null): Series[] {
  return series
    .map(({ labels, values, present }) => {
      const result = emptySeries(labels, grid);
      for (let point = 0; point < grid.numPoints; point++)
        if (present[point] === 1) put(result, point, apply(values[point]!));
      return result;
    })
    .filter(hasValues);
}

function isArithmetic(op: BinaryOp): boolean {
  return op in ARITHMETIC;
}

/** Returns the function of an operator; a comparison yields the left value or, with `bool`, 0 or 1. */
function combiner(op: BinaryOp, bool: boolean): Combine {
  if (isArithmetic(op) || bool) return (a, b) => calculate(op, a, b);
  return (a, b) => (calculate(op, a, b) === 1 ? a : null);
}

const ARITHMETIC: Readonly<Record<string, (a: number, b: number) => number>> = {
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
  '*': (a, b) => a * b,
  // Loki gives NaN where Prometheus gives infinities.
  '/': (a, b) => (b === 0 ? Number.NaN : a / b),
  '%': (a, b) => a % b,
  '^': power,
};

/** Applies an operator to two numbers; a comparison returns 0 or 1. */
function calculate(op: BinaryOp, a: number, b: number): number {
  return ARITHMETIC[op]?.(a, b) ?? Number(COMPARE[(op === '==' ? '=' : op) as Comparison](a, b));
}

/**
 * Follows IEEE, as in Go: 1 to the power of anything (even NaN) is 1, and so is -1 to the power of an
 * infinity.
 */
function power(a: number, b: number): number {
  return a === 1 || (a === -1 && Math.abs(b) === Number.POSITIVE_INFINITY) ? 1 : a ** b;
}

/** Combines two values; null where a comparison filters the value out. */
type Combine = (a: number, b: number) => number | null;

function put(series: Series, point: number, value: number | null): void {
  if (value === null) return;
  series.values[point] = value;
  series.present[point] = 1;
}

function hasValues({ present }: Series): boolean {
  return present.includes(1);
}

/** Returns a function that selects the labels by which series of two sides are matched. */
function matchingLabels({ on, labels }: Matching): (labels: Labels) => Labels {
  const named = new Set(labels);
  return (all) => new Map([...all].filter(([name]) => named.has(name) === on));
}

function matchingKey(matching: Matching): (series: Series) => string {
  const project = matchingLabels(matching);
  return ({ labels }) => labelsKey(project(labels));
}

/** Evaluates `and`, `unless` and `or` of two vectors, at every point of the grid. */
function combineSets(
  op: BinaryOp,
  matching: Matching,
  left: readonly Series[],
  right: readonly Series[],
  grid: TimeGrid,
): Series[] {
  const keyOf = matchingKey(matching);
  /** Returns the points at which some series has a value, for each set of matching labels. */
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

/**
 * Combines the values of two vectors, series by series and point by point. On the side `many` several series
 * may match one of the other side; without it, each matches at most one.
 *
 * @throws LogsError `BAD_INPUT` if more series match
 */
function matchVectors(
  matching: Matching,
  apply: Combine,
  left: readonly Series[],
  right: readonly Series[],
  grid: TimeGrid,
): Series[] {
  const keyOf = matchingKey(matching);
  const isRightMany = matching.many === 'right';
  const ones = groupOnes(isRightMany ? left : right, matching, isRightMany ? 'left' : 'right', grid);
  const results = new ByLabels((labels) => emptySeries(labels, grid), grid);
  /** The points of a result at which two series have been matched already. */
  const taken = new ByLabels((labels) => emptySeries(labels, grid).present, grid);
  for (const many of isRightMany ? right : left)
    for (const one of ones.get(keyOf(many)) ?? []) {
      const labels = resultLabels(matching, many.labels, one.labels);
      const result = results.get(labels);
      const isTaken = taken.get(labels);
      for (let point = 0; point < grid.numPoints; point++) {
        if (many.present[point] === 0 || one.present[point] === 0) continue;
        if (isTaken[point] === 1) throw severalMatches(matching, labels);
        isTaken[point] = 1;
        const [a, b] = isRightMany ? [one, many] : [many, one];
        put(result, point, apply(a.values[point]!, b.values[point]!));
      }
    }
  return results.all.filter(hasValues);
}

/** Groups series by the labels that must match; no two of a group have a value at the same point. */
function groupOnes(
  series: readonly Series[],
  matching: Matching,
  side: string,
  grid: TimeGrid,
): Map<string, Series[]> {
  const groups = new Map<string, Series[]>();
  const keyOf = matchingKey(matching);
  for (const each of series) {
    const group = groups.get(keyOf(each)) ?? [];
    for (const other of group)
      for (let point = 0; point < grid.numPoints; point++)
        if (each.present[point] === 1 && other.present[point] === 1)
          throw new LogsError(
            'BAD_INPUT',
            `found duplicate series on the ${side} hand-side: ${labelsText(other.labels)} and ${labelsText(each.labels)} match the same; aggregate that side first`,
          );
    group.push(each);
    groups.set(keyOf(each), group);
  }
  return groups;
}

function resultLabels(matching: Matching, many: Labels, one: Labels): Labels {
  if (matching.many === null) return matchingLabels(matching)(many);
  const labels = new Map(many);
  for (const name of matching.include) {
    const value = one.get(name);
    if (value === undefined) labels.delete(name);
    else labels.set(name, value);
  }
  return labels;
}

function severalMatches({ many }: Matching, labels: Labels): LogsError {
  return new LogsError(
    'BAD_INPUT',
    many === null
      ? `multiple matches for labels: several series of the left side match ${labelsText(labels)}; many-to-one matching must be explicit (group_left/group_right)`
      : `multiple matches for labels: several results would be ${labelsText(labels)}; grouping labels must ensure unique matches`,
  );
}
