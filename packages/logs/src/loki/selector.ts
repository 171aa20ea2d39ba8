import type { Matcher } from '../logql/ast.js';
import { parseLogQuery } from '../logql/parse.js';
import { invalid } from './parameters.js';

/** Parses a stream selector. @throws LogsError `BAD_INPUT` also for one with stages after it */
export function selectorOf(query: string): readonly Matcher[] {
  const { matchers, stages } = parseLogQuery(query);
  if (stages.length > 0) throw invalid(`only label matchers are supported: ${query.slice(0, 200)}`);
  return matchers;
}
