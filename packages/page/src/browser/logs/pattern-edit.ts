import { quoted } from '../loki.js';
import { STRING, selectorOf, unquoted } from './query-edit.js';

export type PatternUse = 'include' | 'exclude';

const FILTER = new RegExp(`\\s*(\\|>|!>)\\s*(${STRING}(?:\\s+or\\s+${STRING})*)`, 'g');
const OPERATORS: Readonly<Record<PatternUse, string>> = { include: '|>', exclude: '!>' };

/** Returns how a query filters lines by a pattern; null if it does not. */
export function patternUse(query: string, pattern: string): PatternUse | null {
  for (const [, operator, strings = ''] of restOf(query).matchAll(FILTER))
    if (patternsIn(strings).includes(pattern)) return operator === OPERATORS.include ? 'include' : 'exclude';
  return null;
}

/**
 * Adds a filter by a pattern directly after the selector, where it sees lines as they were logged. Lines that
 * match any of the included patterns pass. Null removes the filter.
 */
export function withPattern(query: string, pattern: string, use: PatternUse | null): string {
  const place = selectorOf(query);
  if (place === null) return query;
  const head = query.slice(0, place.end + 1);
  const rest = restOf(query).replace(FILTER, (filter, operator: string, strings: string) => {
    const known = patternsIn(strings);
    if (!known.includes(pattern)) return filter;
    const others = known.filter((each) => each !== pattern);
    return others.length === 0 ? '' : ` ${operator} ${others.map(literal).join(' or ')}`;
  });
  if (use === null) return head + rest;
  const operator = OPERATORS[use];
  const included = use === 'include' ? rest.search(/\|>/) : -1;
  if (included === -1) return `${head} ${operator} ${literal(pattern)}${rest}`;
  return `${head}${rest.slice(0, included)}${operator} ${literal(pattern)} or${rest.slice(included + operator.length)}`;
}

/** Returns the stages behind the selector. */
function restOf(query: string): string {
  return query.slice((selectorOf(query)?.end ?? query.length) + 1);
}

function patternsIn(strings: string): string[] {
  return [...strings.matchAll(new RegExp(STRING, 'g'))].map(([string]) => unquoted(string));
}

/** Uses backquotes where possible, as patterns contain many double quotes. */
function literal(pattern: string): string {
  return pattern.includes('`') ? quoted(pattern) : `\`${pattern}\``;
}
