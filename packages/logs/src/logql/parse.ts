import { LogsError } from '../errors.js';
import {
  AGGREGATIONS,
  type AggregationOp,
  type BinaryOp,
  COMPARISONS,
  type LogQuery,
  type Matching,
  type MetricQuery,
  type Query,
  RANGE_OPS,
  SET_OPS,
} from './ast.js';
import { readNumber } from './parse-filter.js';
import { readLog } from './parse-log.js';
import { readGrouping, readRange } from './parse-range.js';
import { Regex } from './regex.js';
import { syntaxError, Tokens } from './tokens.js';

const MAX_QUERY_CHARACTERS = 5_000;

/**
 * Parses a LogQL query.
 *
 * @throws LogsError `BAD_INPUT` with the position of the error or of the unsupported part
 */
export function parseQuery(query: string): Query {
  if (query.length > MAX_QUERY_CHARACTERS)
    throw new LogsError(
      'BAD_INPUT',
      `the query has ${query.length} characters, more than the ${MAX_QUERY_CHARACTERS} that are taken`,
    );
  if (query.trim() === '') throw syntaxError(query, 0, 'syntax error: the query is empty');
  const tokens = new Tokens(query);
  const parsed = /^[\s(]*\{/.test(query) ? readLog(tokens) : readMetric(tokens);
  if (parsed.kind === 'log' && tokens.is('+', '-', '*', '/', '%', '^', 'and', 'or', 'unless'))
    throw tokens.errorAt(tokens.next, OPERAND_HINT);
  if (!tokens.isKind('end')) throw tokens.unexpected();
  return parsed;
}

/**
 * Parses a log query.
 *
 * @throws LogsError `BAD_INPUT` also for a metric query
 */
export function parseLogQuery(query: string): LogQuery {
  const parsed = parseQuery(query);
  if (parsed.kind !== 'log')
    throw new LogsError('BAD_INPUT', `${query} computes numbers; a query that selects lines is needed`);
  return parsed;
}

const OPERAND_HINT = 'an operand must be a number or a metric, not a selection of lines';

/** Binary operators are left-associative, except `^`. */
const PRECEDENCE = new Map(
  [['or'], ['and', 'unless'], COMPARISONS, ['+', '-'], ['*', '/', '%'], ['^']].flatMap((operators, level) =>
    operators.map((op) => [op, level + 1]),
  ),
);

/** Reads a metric query, by precedence climbing. */
function readMetric(tokens: Tokens, least = 0): MetricQuery {
  let left = readOperand(tokens);
  for (;;) {
    if (!tokens.is(...PRECEDENCE.keys())) return left;
    const op = tokens.next.text as BinaryOp;
    if (PRECEDENCE.get(op)! < least) return left;
    left = tokens.nested(() => readBinary(tokens, op, left));
  }
}

function readBinary(tokens: Tokens, op: BinaryOp, left: MetricQuery): MetricQuery {
  const token = tokens.take();
  const bool = tokens.is('bool');
  if (bool && !(COMPARISONS as readonly string[]).includes(op)) throw tokens.unexpected();
  tokens.accept('bool');
  const matching = readMatching(tokens, op);
  const right = readMetric(tokens, PRECEDENCE.get(op)! + (op === '^' ? 0 : 1));
  if (isSetOp(op) && (left.kind === 'number' || right.kind === 'number'))
    throw tokens.errorAt(token, `\`${op}\` needs vectors on both sides`);
  return { kind: 'binary', op, bool, matching, left, right };
}

function readMatching(tokens: Tokens, op: BinaryOp): Matching {
  const word = tokens.accept('on', 'ignoring');
  const labels = word === null ? [] : tokens.names();
  const group = word === null ? null : tokens.accept('group_left', 'group_right');
  if (group === null) return { on: word?.text === 'on', labels, many: null, include: [] };
  if (isSetOp(op)) throw tokens.errorAt(group, `\`${group.text}\` does not go with \`${op}\``);
  return {
    on: word!.text === 'on',
    labels,
    many: group.text === 'group_left' ? 'left' : 'right',
    include: tokens.isNames() ? tokens.names() : [],
  };
}

function isSetOp(op: BinaryOp): boolean {
  return (SET_OPS as readonly string[]).includes(op);
}

function readOperand(tokens: Tokens): MetricQuery {
  if (tokens.accept('(') !== null) {
    const inner = tokens.nested(() => readMetric(tokens));
    tokens.expect(')');
    return inner;
  }
  if (tokens.isKind('number') || tokens.is('+', '-')) return { kind: 'number', value: readNumber(tokens) };
  if (tokens.is('{')) throw tokens.errorAt(tokens.next, OPERAND_HINT);
  if (tokens.is(...Object.keys(RANGE_OPS))) return readRange(tokens);
  if (tokens.is(...AGGREGATIONS)) return tokens.nested(() => readAggregation(tokens));
  if (tokens.is('label_replace')) return tokens.nested(() => readLabelReplace(tokens));
  if (tokens.accept('vector') !== null) {
    tokens.expect('(');
    const value = readNumber(tokens);
    tokens.expect(')');
    return { kind: 'vector', value };
  }
  if (tokens.is('approx_topk', 'variants')) throw tokens.notSupported(tokens.next);
  throw tokens.unexpected();
}

function readAggregation(tokens: Tokens): MetricQuery {
  const token = tokens.take();
  const op = token.text as AggregationOp;
  const before = readGrouping(tokens);
  tokens.expect('(');
  const parameter = readParameter(tokens, op);
  const inner = readMetric(tokens);
  tokens.expect(')');
  const grouping = before ?? readGrouping(tokens);
  if (grouping !== null && op.startsWith('sort')) throw tokens.errorAt(token, `${op} takes no grouping`);
  return { kind: 'aggregate', op, parameter, grouping, inner };
}

function readParameter(tokens: Tokens, op: AggregationOp): number {
  const isTop = op === 'topk' || op === 'bottomk';
  const token = tokens.next;
  if (!isTop) return 0;
  if (!tokens.isKind('number')) throw tokens.errorAt(token, `${op} needs a number first`);
  const k = readNumber(tokens);
  if (!Number.isInteger(k) || k < 1)
    throw tokens.errorAt(token, `invalid parameter ${token.text}: ${op} needs a whole number above 0`);
  tokens.expect(',');
  return k;
}

/** Reads `label_replace(metric, "target", "replacement", "source", "regular expression")`. */
function readLabelReplace(tokens: Tokens): MetricQuery {
  tokens.take();
  tokens.expect('(');
  const inner = readMetric(tokens);
  const argument = () => {
    tokens.expect(',');
    return tokens.string();
  };
  const target = argument();
  const replacement = argument();
  const source = argument();
  const pattern = argument();
  tokens.expect(')');
  new Regex(pattern, tokens.regexes);
  return { kind: 'label-replace', inner, target, replacement, source, pattern };
}
