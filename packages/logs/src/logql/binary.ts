import { ARITHMETIC, type BinaryOp, type MetricQuery, SET_OPS } from './ast.js';
import { type Combine, hasValues, put } from './combine.js';
import { emptySeries, type Series, type TimeGrid, type Value } from './series.js';
import { combineSets } from './set-operations.js';
import { matchVectors } from './vector-matching.js';

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
    // A filtering comparison returns the value of the vector, on whichever side it stands.
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
  return (ARITHMETIC as readonly string[]).includes(op);
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
      // Loki gives NaN where Prometheus gives infinities.
      return b === 0 ? Number.NaN : a / b;
    case '%':
      return a % b;
    case '^':
      return power(a, b);
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

/** IEEE's, as in Go: 1 to the power of anything is 1, also of NaN; so is -1 to the power of an infinity. */
function power(a: number, b: number): number {
  return a === 1 || (a === -1 && Math.abs(b) === Number.POSITIVE_INFINITY) ? 1 : a ** b;
}
