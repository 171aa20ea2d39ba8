import { LogsError } from '../errors.js';
import type { LogQuery, Query } from './ast.js';
import { readLog } from './parse-log.js';
import { OPERAND_HINT, readMetric } from './parse-metric.js';
import { syntaxError } from './syntax-error.js';
import { Tokens } from './tokens.js';

const MAX_QUERY_CHARACTERS = 5_000;

/**
 * Parses a LogQL query.
 *
 * @throws LogsError `BAD_INPUT` with the position of the mistake or of the unsupported part
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
