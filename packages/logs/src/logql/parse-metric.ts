import {
  AGGREGATIONS,
  type AggregationOp,
  type BinaryOp,
  COMPARISONS,
  type Grouping,
  LINE_RANGE_OPS,
  type MetricQuery,
  type RangeOp,
  type RangeQuery,
  SET_OPS,
  UNWRAP_RANGE_OPS,
  type Unwrap,
} from './ast.js';
import type { Cursor } from './cursor.js';
import { readCondition, readNumber, readPipeline, readSelector } from './parse-log.js';
import { notSupported, syntaxError } from './syntax-error.js';
import { parseDurationS } from './units.js';

/** Reads a MetricExpr. */
export function readMetric(expression: Cursor): MetricQuery {
  const inner = expression.children.find(({ name }) => name.endsWith('Expr'));
  switch (inner?.name) {
    case 'MetricExpr':
    case 'Expr':
      return readMetric(inner);
    case 'RangeAggregationExpr':
      return readRange(inner);
    case 'VectorAggregationExpr':
      return readAggregation(inner);
    case 'BinOpExpr':
      return readBinary(inner);
    case 'VectorExpr':
      return { kind: 'vector', value: readNumber(inner.get('Number', 'LiteralExpr')) };
    case 'LiteralExpr':
      return { kind: 'number', value: readNumber(inner) };
    default:
      throw notSupported(
        expression.query,
        (inner ?? expression).at,
        (inner ?? expression).text.split(/[\s(]/)[0],
      );
  }
}

function readRange(node: Cursor): RangeQuery {
  const { query } = node;
  const op = node.get('RangeOp').text as RangeOp;
  const source = node.get('LogRangeExpr');
  const unwrapNode = source.all('UnwrapExpr')[0];
  const unwrap = unwrapNode === undefined ? null : readUnwrap(unwrapNode);
  const known: readonly string[] = unwrap === null ? LINE_RANGE_OPS : UNWRAP_RANGE_OPS;
  if (!known.includes(op)) {
    const isElsewhere = [...LINE_RANGE_OPS, ...UNWRAP_RANGE_OPS].includes(op);
    if (!isElsewhere) throw notSupported(query, node.at, op);
    throw syntaxError(
      query,
      node.at,
      unwrap === null ? `invalid aggregation ${op} without unwrap` : `invalid aggregation ${op} with unwrap`,
    );
  }
  const grouping = node.find('Grouping');
  if (grouping !== undefined && unwrap === null)
    throw syntaxError(query, grouping.at, `grouping not allowed for ${op} aggregation`);
  const parameter = node.find('Number');
  if ((op === 'quantile_over_time') !== (parameter !== undefined))
    throw syntaxError(
      query,
      node.at,
      parameter === undefined ? `${op} needs a number first` : `${op} takes no number`,
    );
  const range = source.get('Range');
  const rangeMs = parseDurationS(range.text.slice(1, -1).trim()) * 1000;
  if (!(rangeMs > 0)) throw syntaxError(query, range.at, `${range.text} is not a duration`);
  const offset = source.all('OffsetExpr')[0]?.text.replace(/^offset\s*/, '');
  const offsetMs = offset === undefined ? 0 : parseDurationS(offset) * 1000;
  if (Number.isNaN(offsetMs)) throw syntaxError(query, source.at, `offset ${offset} is not a duration`);
  return {
    kind: 'range',
    op,
    parameter: parameter === undefined ? 0 : readNumber(parameter),
    log: {
      kind: 'log',
      matchers: readSelector(source.all('Selector')[0]),
      stages: source.all('PipelineExpr').flatMap(readPipeline),
    },
    unwrap,
    rangeMs,
    offsetMs,
    grouping: grouping === undefined ? null : readGrouping(grouping),
  };
}

const CONVERSIONS: Readonly<Record<string, Unwrap['conversion']>> = {
  bytes: 'bytes',
  duration: 'duration',
  duration_seconds: 'duration',
};

/** The grammar nests label filters after unwrap to the left. */
function readUnwrap(node: Cursor): Unwrap {
  const inner = node.find('UnwrapExpr');
  if (inner !== undefined) {
    const unwrap = readUnwrap(inner);
    return { ...unwrap, filters: [...unwrap.filters, readCondition(node.get('LabelFilter'))] };
  }
  const conversion = node.find('ConvOp')?.text;
  return {
    label: node.get('Identifier').text,
    conversion: conversion === undefined ? 'number' : CONVERSIONS[conversion],
    filters: [],
  };
}

function readGrouping(node: Cursor): Grouping {
  return {
    without: node.find('Without') !== undefined,
    labels: node.all('Identifier').map(({ text }) => text),
  };
}

function readAggregation(node: Cursor): MetricQuery {
  const op = node.get('VectorOp').text as AggregationOp;
  if (!AGGREGATIONS.includes(op)) throw notSupported(node.query, node.at, op);
  const grouping = node.find('Grouping');
  const parameter = node.find('Number');
  const needsNumber = op === 'topk' || op === 'bottomk';
  if (needsNumber !== (parameter !== undefined))
    throw syntaxError(
      node.query,
      node.at,
      `${op} ${needsNumber ? 'needs a number first' : 'takes no number'}`,
    );
  return {
    kind: 'aggregate',
    op,
    parameter: parameter === undefined ? 0 : readNumber(parameter),
    grouping: grouping === undefined ? null : readGrouping(grouping),
    inner: readMetric(node.get('MetricExpr')),
  };
}

/** Binary operators are left-associative, except `^`. */
const PRECEDENCE: Readonly<Record<BinaryOp, number>> = {
  or: 1,
  and: 2,
  unless: 2,
  '==': 3,
  '!=': 3,
  '>': 3,
  '>=': 3,
  '<': 3,
  '<=': 3,
  '+': 4,
  '-': 4,
  '*': 5,
  '/': 5,
  '%': 5,
  '^': 6,
};

interface Operator {
  readonly node: Cursor;
  readonly op: BinaryOp;
  readonly modifier: Cursor | undefined;
}

/** Precedence climbing over the flattened expression: the grammar ignores precedence. */
function readBinary(node: Cursor): MetricQuery {
  const operands: Cursor[] = [];
  const operators: Operator[] = [];
  const flatten = (binary: Cursor) => {
    const { children } = binary;
    const [left, right] = children.filter(({ name }) => name === 'Expr' || name === 'MetricExpr');
    addOperand(left);
    operators.push({
      node: binary,
      op: children[1].text as BinaryOp,
      modifier: binary.find('BinOpModifier'),
    });
    addOperand(right);
  };
  const addOperand = (operand: Cursor) => {
    const inner = bareBinary(operand);
    if (inner === null) operands.push(operand);
    else flatten(inner);
  };
  flatten(node);

  let next = 0;
  const climb = (least: number): MetricQuery => {
    let left = readOperand(operands[next]);
    for (;;) {
      const operator = operators[next];
      if (operator === undefined || PRECEDENCE[operator.op] < least) return left;
      next++;
      const right = climb(PRECEDENCE[operator.op] + (operator.op === '^' ? 0 : 1));
      left = join(operator, left, right);
    }
  };
  return climb(0);
}

/** The BinOpExpr of an operand without parentheses; else null. */
function bareBinary(operand: Cursor): Cursor | null {
  if (operand.name === 'BinOpExpr') return operand;
  const inner = operand.find('MetricExpr', 'Expr', 'BinOpExpr');
  const fills = inner?.at === operand.at && inner.node.to === operand.node.to;
  return inner !== undefined && fills ? bareBinary(inner) : null;
}

function join({ node, op, modifier }: Operator, left: MetricQuery, right: MetricQuery): MetricQuery {
  const { query } = node;
  const grouped = modifier?.find('GroupLeft', 'GroupRight');
  if (grouped !== undefined) throw notSupported(query, grouped.at, grouped.text.split(/[\s(]/)[0]);
  const matching = modifier?.find('OnOrIgnoringModifier');
  const bool = modifier?.find('Bool') !== undefined;
  if (bool && !(COMPARISONS as readonly string[]).includes(op))
    throw syntaxError(query, modifier!.at, '`bool` goes with a comparison');
  if ((SET_OPS as readonly string[]).includes(op) && (left.kind === 'number' || right.kind === 'number'))
    throw syntaxError(query, node.at, `\`${op}\` needs vectors on both sides`);
  return {
    kind: 'binary',
    op,
    bool,
    matching: {
      on: matching?.find('On') !== undefined,
      labels: matching?.all('GroupingLabel').map(({ text }) => text) ?? [],
    },
    left,
    right,
  };
}

function readOperand(node: Cursor): MetricQuery {
  const log = node.find('LogExpr');
  if (log !== undefined)
    throw syntaxError(
      node.query,
      log.at,
      'an operand must be a number or a metric, not a selection of lines',
    );
  return readMetric(node);
}
