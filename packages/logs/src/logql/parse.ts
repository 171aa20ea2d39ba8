import { parser } from '@grafana/lezer-logql';
import { LogsError } from '../errors.js';
import type { LogQuery, Query } from './ast.js';
import { Cursor } from './cursor.js';
import { readLog } from './parse-log.js';
import { readMetric } from './parse-metric.js';
import { syntaxError } from './syntax-error.js';

const MAX_QUERY_CHARACTERS = 5_000;
const MAX_DEPTH = 200;

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
  const root = parser.parse(query).topNode;
  assertWellFormed(query, root.cursor());
  const expression = new Cursor(query, root).get('Expr').get('LogExpr', 'MetricExpr');
  return expression.name === 'LogExpr' ? readLog(expression) : readMetric(expression);
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

/** The parser recovers from errors and leaves error nodes in the tree. */
function assertWellFormed(query: string, cursor: ReturnType<Cursor['node']['cursor']>): void {
  let depth = 0;
  let deepest = 0;
  cursor.iterate(
    (node) => {
      depth++;
      deepest = Math.max(deepest, depth);
      if (!node.type.isError) return;
      const rest = query.slice(node.from).trimStart();
      const at = query.length - rest.length;
      const word = /^(\w+|\S)/.exec(rest)?.[0];
      throw syntaxError(
        query,
        word === undefined ? query.length : at,
        `syntax error: unexpected ${word ?? 'end of the query'}`,
      );
    },
    () => {
      depth--;
    },
  );
  if (deepest > MAX_DEPTH) throw new LogsError('BAD_INPUT', 'the query is nested too deeply');
}
