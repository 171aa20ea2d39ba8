import type { Matcher } from '../logql/ast.js';
import { parseQuery } from '../logql/parse.js';
import { invalid } from './parameters.js';

/** Parses a stream selector. @throws LogsError `BAD_INPUT` for any other query */
export function selectorOf(text: string): readonly Matcher[] {
  const query = parseQuery(text);
  if (query.kind !== 'log' || query.stages.length > 0) throw invalid('only label matchers are supported');
  return query.matchers;
}
