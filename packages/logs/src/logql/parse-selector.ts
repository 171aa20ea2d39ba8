import type { Matcher } from './ast.js';
import { Regex, RegexGroup } from './regex.js';
import type { Tokens } from './tokens.js';

/** Reads `{a="b", c=~"d"}`. @throws LogsError `BAD_INPUT` if every matcher accepts the empty value */
export function readSelector(tokens: Tokens): Matcher[] {
  const start = tokens.next;
  const matchers = readMatchers(tokens);
  if (!matchers.some(isSelective))
    throw tokens.errorAt(
      start,
      'queries require at least one regexp or equality matcher that does not have an empty-compatible value. For instance, app=~".*" does not meet this requirement, but app=~".+" will',
    );
  return matchers;
}

function isSelective({ op, value }: Matcher): boolean {
  if (op === '=') return value !== '';
  return op === '=~' && !new Regex(value, new RegexGroup()).testWhole('');
}

function readMatchers(tokens: Tokens): Matcher[] {
  tokens.expect('{');
  if (tokens.accept('}') !== null) return [];
  const matchers = tokens.list(() => readMatcher(tokens, tokens.name()));
  tokens.expect('}');
  return matchers;
}

/** Reads the operator and the value of a matcher. */
export function readMatcher(tokens: Tokens, name: string): Matcher {
  const op = tokens.expect('=', '!=', '=~', '!~').text as Matcher['op'];
  const value = tokens.string();
  // Refused here rather than at the first line.
  if (op === '=~' || op === '!~') new Regex(value, tokens.regexes);
  return { name, op, value };
}
