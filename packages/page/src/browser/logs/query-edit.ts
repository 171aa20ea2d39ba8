/** Edits of a LogQL query as text, for the buttons of the log view. Only the server parses LogQL in full. */

/** Source of a regular expression that matches a terminated string. */
export const STRING = '(?:"(?:\\\\.|[^"\\\\])*"|`[^`]*`)';

/** Replaces each character of a string by `S`, so that it is not taken for LogQL syntax. */
export function masked(text: string): string {
  return text.replace(new RegExp(`${STRING}|["\`].*$`, 'gs'), (string) => 'S'.repeat(string.length));
}

/** Returns the span of the first stream selector, without braces; null if there is none, or it has no end. */
export function selectorOf(query: string): { readonly start: number; readonly end: number } | null {
  const text = masked(query);
  const start = text.indexOf('{') + 1;
  const end = text.indexOf('}', start);
  return start === 0 || end === -1 ? null : { start, end };
}

const MATCHER = new RegExp(`\\s*([A-Za-z_]\\w*)\\s*(=~|!~|!=|=)\\s*(${STRING})\\s*,?`, 'gy');

interface Matcher {
  readonly label: string;
  readonly operator: string;
  /** Value of the matcher with its quotes. */
  readonly value: string;
}

/** The matchers of the query's first selector; null without one. */
function matchersOf(query: string): Matcher[] | null {
  const place = selectorOf(query);
  if (place === null) return null;
  const found = query.slice(place.start, place.end).matchAll(MATCHER);
  return [...found].map(([, label = '', operator = '', value = '']) => ({ label, operator, value }));
}

function replaceMatchers(query: string, change: (matchers: Matcher[]) => Matcher[]): string {
  const [place, matchers] = [selectorOf(query), matchersOf(query)];
  if (place === null || matchers === null) return query;
  const text = change(matchers).map(({ label, operator, value }) => `${label}${operator}${value}`);
  return query.slice(0, place.start) + text.join(', ') + query.slice(place.end);
}

/** Adds the matcher `label="value"` (or `!=`) and removes matchers of the label that contradict it. */
export function withLabel(query: string, label: string, operator: '=' | '!=', value: string): string {
  const added = { label, operator, value: JSON.stringify(value) };
  return replaceMatchers(query, (matchers) => [
    ...matchers.filter(
      (each) =>
        each.label !== label ||
        (operator === '!=' && each.operator.startsWith('!') && each.value !== added.value),
    ),
    added,
  ]);
}

/** Adds the label filter `name="value"` (or `!=`), after `json` if no stage extracts fields yet. */
export function withField(query: string, name: string, operator: '=' | '!=', value: string): string {
  const isParsed = hasParser(query);
  const filter = `| ${name}${operator}${JSON.stringify(value)}`;
  if (query.includes(filter)) return query;
  return `${query.trimEnd()}${isParsed ? '' : ' | json'} ${filter}`;
}

/**
 * Returns a selector for requests while the query is being written: the equality matchers of the selector at
 * or before the cursor, except the one at the cursor. Empty if there is none.
 */
export function matchersBefore(query: string, cursor: number): string {
  const start = query.lastIndexOf('{', cursor - 1) + 1;
  if (start === 0) return '';
  const kept: string[] = [];
  for (const { 0: text, 1: label, 2: operator, 3: value = '', index } of query
    .slice(start)
    .matchAll(MATCHER)) {
    const isHere = start + index <= cursor && cursor < start + index + text.trimEnd().length;
    if (operator === '=' && value.length > 2 && !isHere) kept.push(`${label}=${value}`);
  }
  return kept.length === 0 ? '' : `{${kept.join(', ')}}`;
}

export function hasParser(query: string): boolean {
  return /\|\s*(?:json|logfmt|regexp|pattern|unpack)\b/.test(query);
}

/** Levels that the selector asks for; empty for all. */
export function levelsIn(query: string): string[] {
  const matcher = matchersOf(query)?.find(
    ({ label, operator }) => label === 'level' && (operator === '=' || operator === '=~'),
  );
  return matcher?.value.slice(1, -1).split('|') ?? [];
}

/** Matches all runs: a selector needs at least one matcher that rejects the empty value. */
const ANY_RUN: Matcher = { label: 'run', operator: '=~', value: '".+"' };

/** Replaces the matcher of `level`. @param levels empty for all */
export function withLevels(query: string, levels: readonly string[]): string {
  return replaceMatchers(query, (matchers) => {
    const others = matchers.filter(({ label }) => label !== 'level');
    const isSelective = others.some(
      ({ operator, value }) => operator.startsWith('=') && !['', '.*'].includes(unquoted(value)),
    );
    if (levels.length === 0) return isSelective ? others : [ANY_RUN, ...others];
    const operator = levels.length === 1 ? '=' : '=~';
    return [...others, { label: 'level', operator, value: JSON.stringify(levels.join('|')) }];
  });
}

/**
 * Returns the query after a click on a level of the legend.
 *
 * @param names names of the level in the store
 * @param adds whether to toggle the level beside the chosen levels instead of choosing it alone
 */
export function withLevelToggled(query: string, names: readonly string[], adds: boolean): string {
  const chosen = levelsIn(query);
  const others = chosen.filter((name) => !names.includes(name));
  const isChosen = others.length < chosen.length;
  if (adds) return withLevels(query, isChosen ? others : [...others, ...names]);
  return withLevels(query, isChosen && others.length === 0 ? [] : names);
}

/** Whether a query is a metric query, which returns series; a log query returns lines. */
export function isMetricQuery(query: string): boolean {
  return !query.trimStart().startsWith('{');
}

/** Matches the texts of the query's line filters, for highlighting; null if there are none. */
export function highlightOf(query: string): RegExp | null {
  const filters = query.slice((selectorOf(query)?.end ?? -1) + 1).matchAll(FILTER);
  const sources = [...filters].flatMap(([, operator, value = '']) => {
    const text = unquoted(value);
    if (text === '') return [];
    return [operator === '=' ? text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&') : text];
  });
  if (sources.length === 0) return null;
  try {
    const source = sources.map((each) => each.replace('(?i)', '')).join('|');
    return new RegExp(source, sources.some((each) => each.startsWith('(?i)')) ? 'gi' : 'g');
  } catch {
    // The pattern is valid in RE2 but not in JavaScript.
    return null;
  }
}

const FILTER = new RegExp(`\\|(=|~)\\s*(${STRING})`, 'g');

export function unquoted(value: string): string {
  if (value.startsWith('`')) return value.slice(1, -1);
  try {
    return JSON.parse(value);
  } catch {
    return value.slice(1, -1);
  }
}

/** Splits a text into matches and what lies between them. */
export function marked(
  text: string,
  pattern: RegExp | null,
): { readonly text: string; readonly isMatch: boolean }[] {
  if (pattern === null) return [{ text, isMatch: false }];
  const pieces = [];
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    if (match[0] === '') continue;
    if (match.index > end) pieces.push({ text: text.slice(end, match.index), isMatch: false });
    pieces.push({ text: match[0], isMatch: true });
    end = match.index + match[0].length;
  }
  if (end < text.length) pieces.push({ text: text.slice(end), isMatch: false });
  return pieces;
}

/** Returns the position that a parse error names: a column from 0; null if it names none. */
export function errorColumn(message: string, query: string): number | null {
  const place = /line (\d+),? col(?:umn)?\.? (\d+)|(?:position|pos|offset) (\d+)/i.exec(message);
  if (place === null) return null;
  const column = place[3] === undefined ? Number(place[2]) - 1 : Number(place[3]);
  return Math.max(0, Math.min(query.length, column));
}
