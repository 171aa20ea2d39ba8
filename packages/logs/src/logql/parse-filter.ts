import type { Comparison, LabelCondition, LineFilter, Matcher } from './ast.js';
import { AddressSet } from './ip.js';
import { parseLinePattern } from './pattern.js';
import { Regex, RegexGroup } from './regex.js';
import type { Tokens } from './tokens.js';
import { parseBytes, parseDurationS, parseNumber } from './units.js';

/** Reads `|= "a" or ip("10.0.0.0/8")`. */
export function readLineFilter(tokens: Tokens): LineFilter {
  const op = tokens.expect('|=', '!=', '|~', '!~', '|>', '!>').text as LineFilter['op'];
  const texts: string[] = [];
  const ips: string[] = [];
  do {
    const operand = tokens.next;
    if (tokens.is('ip')) {
      if (op !== '|=' && op !== '!=')
        throw tokens.errorAt(operand, `ip: invalid operation: \`${op}\` is not one of |= and !=`);
      ips.push(readAddresses(tokens));
      continue;
    }
    const text = tokens.string();
    if (op.endsWith('~')) new Regex(text, tokens.regexes);
    if (op.endsWith('>')) parseLinePattern(text, (message) => tokens.errorAt(operand, message));
    texts.push(text);
  } while (tokens.accept('or') !== null);
  return { kind: 'line-filter', op, texts, ips };
}

/** Reads `ip("10.0.0.0/8")`. */
function readAddresses(tokens: Tokens): string {
  tokens.expect('ip');
  tokens.expect('(');
  const token = tokens.next;
  const addresses = tokens.string();
  if (AddressSet.parse(addresses) === null)
    throw tokens.errorAt(token, `ip: invalid pattern ${token.text}: not an address, a range or a CIDR`);
  tokens.expect(')');
  return addresses;
}

/** Reads a label filter: `or` binds weaker than `and`, `,` and two conditions side by side. */
export function readCondition(tokens: Tokens): LabelCondition {
  let left = readConjunction(tokens);
  while (tokens.accept('or') !== null) left = { kind: 'or', left, right: readConjunction(tokens) };
  return left;
}

function readConjunction(tokens: Tokens): LabelCondition {
  let left = readComparison(tokens);
  for (;;) {
    const isJoined = tokens.accept('and', ',') !== null;
    const isBeside = tokens.is('(') || (tokens.isKind('word') && !tokens.is('or'));
    if (!isJoined && !isBeside) return left;
    left = { kind: 'and', left, right: readComparison(tokens) };
  }
}

const COMPARISONS: Readonly<Record<string, Comparison>> = {
  '=': '=',
  '==': '=',
  '!=': '!=',
  '>': '>',
  '>=': '>=',
  '<': '<',
  '<=': '<=',
};

function readComparison(tokens: Tokens): LabelCondition {
  if (tokens.accept('(') !== null) {
    const inner = tokens.nested(() => readCondition(tokens));
    tokens.expect(')');
    return inner;
  }
  const name = tokens.name();
  if (tokens.isBefore('string')) return { kind: 'text', matcher: readMatcher(tokens, name) };
  const { text } = tokens.expect('=~', '!~', ...Object.keys(COMPARISONS));
  if (tokens.is('ip') && (text === '=' || text === '!='))
    return { kind: 'ip', name, negated: text === '!=', range: readAddresses(tokens) };
  if (!Object.hasOwn(COMPARISONS, text)) throw tokens.unexpected('a string');
  const op = COMPARISONS[text]!;
  const value = tokens.next;
  if (tokens.isKind('duration')) {
    const seconds = parseDurationS(tokens.take().text);
    if (Number.isNaN(seconds)) throw tokens.errorAt(value, `${value.text} is not a duration`);
    return { kind: 'duration', name, op, value: seconds };
  }
  if (tokens.isKind('bytes')) return { kind: 'bytes', name, op, value: parseBytes(tokens.take().text) };
  return { kind: 'number', name, op, value: readNumber(tokens) };
}

export function readNumber(tokens: Tokens): number {
  const sign = tokens.accept('+', '-')?.text === '-' ? -1 : 1;
  const token = tokens.expectKind('number', 'a number');
  const value = parseNumber(token.text);
  if (value === null) throw tokens.errorAt(token, `${token.text} is not a number`);
  return sign * value;
}

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

export function readMatcher(tokens: Tokens, name: string): Matcher {
  const op = tokens.expect('=', '!=', '=~', '!~').text as Matcher['op'];
  const value = tokens.string();
  // An invalid expression is refused here rather than at the first line.
  if (op === '=~' || op === '!~') new Regex(value, tokens.regexes);
  return { name, op, value };
}
