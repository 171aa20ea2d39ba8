import {
  type Grouping,
  type Matcher,
  RANGE_OPS,
  type RangeOp,
  type RangeQuery,
  type Stage,
  type Unwrap,
} from './ast.js';
import { readCondition, readNumber, readSelector } from './parse-filter.js';
import { isStage, readStage } from './parse-log.js';
import type { Tokens } from './tokens.js';
import { parseDurationS } from './units.js';

/** Reads `op(parameter, {selector} | pipeline [range]) by (labels)`. */
export function readRange(tokens: Tokens): RangeQuery {
  const token = tokens.take();
  const op = token.text as RangeOp;
  tokens.expect('(');
  const parameter = readQuantile(tokens, op);
  const { matchers, stages, unwrap, rangeMs, offsetMs } = readLogRange(tokens);
  if (rangeMs === null) throw tokens.unexpected('a range such as [5m]');
  tokens.expect(')');
  if (RANGE_OPS[op] !== 'both' && (RANGE_OPS[op] === 'lines') !== (unwrap === null))
    throw tokens.errorAt(token, `invalid aggregation ${op} ${unwrap === null ? 'without' : 'with'} unwrap`);
  const groupingAt = tokens.next;
  const grouping = readGrouping(tokens);
  if (grouping !== null && RANGE_OPS[op] !== 'grouped')
    throw tokens.errorAt(groupingAt, `grouping not allowed for ${op} aggregation`);
  return {
    kind: 'range',
    op,
    parameter,
    log: { kind: 'log', matchers, stages },
    unwrap,
    rangeMs,
    offsetMs,
    grouping,
  };
}

/** Reads the first argument of quantile_over_time. */
function readQuantile(tokens: Tokens, op: RangeOp): number {
  const token = tokens.next;
  if (op !== 'quantile_over_time') {
    if (tokens.isKind('number')) throw tokens.errorAt(token, `${op} takes no number`);
    return 0;
  }
  if (tokens.is('(', '{')) throw tokens.errorAt(token, `${op} needs a number first`);
  if (!tokens.isKind('number')) throw tokens.unexpected();
  const quantile = readNumber(tokens);
  tokens.expect(',');
  return quantile;
}

interface LogRange {
  readonly matchers: readonly Matcher[];
  readonly stages: Stage[];
  unwrap: Unwrap | null;
  rangeMs: number | null;
  offsetMs: number;
}

/** Reads a log range. Range and offset may precede or follow the pipeline; any prefix may be in parentheses. */
function readLogRange(tokens: Tokens): LogRange {
  let log: LogRange;
  if (tokens.accept('(') !== null) {
    log = tokens.nested(() => readLogRange(tokens));
    tokens.expect(')');
  } else log = { matchers: readSelector(tokens), stages: [], unwrap: null, rangeMs: null, offsetMs: 0 };
  for (;;)
    if (log.rangeMs === null && tokens.isKind('range')) log.rangeMs = readRangeMs(tokens);
    else if (log.rangeMs !== null && tokens.accept('offset') !== null) log.offsetMs = readOffsetMs(tokens);
    else if (!isStage(tokens)) return log;
    else if (log.unwrap !== null) log.unwrap = readFilterOf(log.unwrap, tokens);
    else if (tokens.is('|') && tokens.isBeforeWord('unwrap')) log.unwrap = readUnwrap(tokens);
    else log.stages.push(readStage(tokens));
}

function readRangeMs(tokens: Tokens): number {
  const token = tokens.take();
  const rangeMs = parseDurationS(token.text.slice(1, -1).trim()) * 1000;
  if (!(rangeMs > 0)) throw tokens.errorAt(token, `${token.text} is not a duration`);
  return rangeMs;
}

function readOffsetMs(tokens: Tokens): number {
  const sign = tokens.accept('-') === null ? 1 : -1;
  const token = tokens.expectKind('duration', 'a duration');
  const offsetMs = parseDurationS(token.text) * 1000;
  if (Number.isNaN(offsetMs)) throw tokens.errorAt(token, `offset ${token.text} is not a duration`);
  return sign * offsetMs;
}

const CONVERSIONS: Readonly<Record<string, Unwrap['conversion']>> = {
  bytes: 'bytes',
  duration: 'duration',
  duration_seconds: 'duration',
};

/** Reads `| unwrap x` or `| unwrap bytes(x)`. */
function readUnwrap(tokens: Tokens): Unwrap {
  tokens.expect('|');
  tokens.expect('unwrap');
  const token = tokens.next;
  const label = tokens.name();
  if (tokens.accept('(') === null) return { label, conversion: 'number', filters: [] };
  if (!Object.hasOwn(CONVERSIONS, label)) throw tokens.notSupported(token);
  const inner = tokens.name();
  tokens.expect(')');
  return { label: inner, conversion: CONVERSIONS[label]!, filters: [] };
}

/** Reads what follows `unwrap`, which may only be label filters. */
function readFilterOf(unwrap: Unwrap, tokens: Tokens): Unwrap {
  tokens.expect('|');
  return { ...unwrap, filters: [...unwrap.filters, readCondition(tokens)] };
}

/** Reads `by (a, b)` or `without (a)`, if present. */
export function readGrouping(tokens: Tokens): Grouping | null {
  const word = tokens.accept('by', 'without');
  return word === null ? null : { without: word.text === 'without', labels: tokens.names() };
}
