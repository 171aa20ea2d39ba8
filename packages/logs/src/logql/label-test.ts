import type { Labels } from '../store/streams.js';
import type { Comparison, LabelCondition, Matcher } from './ast.js';
import { AddressSet } from './ip.js';
import { ERROR_LABEL, type PipelineLine } from './pipeline-line.js';
import { Regex, RegexGroup } from './regex.js';
import { parseBytes, parseLineDurationS, parseNumber } from './units.js';

/**
 * Compiles a matcher, for which an absent label equals an empty one.
 *
 * @param regexes all regular expressions of the same line
 */
export function compileMatcher(
  { name, op, value }: Matcher,
  regexes: RegexGroup,
): (labels: Labels) => boolean {
  if (op === '=') return (labels) => (labels.get(name) ?? '') === value;
  if (op === '!=') return (labels) => (labels.get(name) ?? '') !== value;
  const regex = new Regex(value, regexes);
  const expected = op === '=~';
  return (labels) => regex.testWhole(labels.get(name) ?? '') === expected;
}

export function compileMatchers(matchers: readonly Matcher[]): (labels: Labels) => boolean {
  const regexes = new RegexGroup();
  const tests = matchers.map((matcher) => compileMatcher(matcher, regexes));
  return (labels) => tests.every((test) => test(labels));
}

export const COMPARE: Readonly<Record<Comparison, (a: number, b: number) => boolean>> = {
  '=': (a, b) => a === b,
  '!=': (a, b) => a !== b,
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
};

const PARSERS: Readonly<Record<'number' | 'duration' | 'bytes', (text: string) => number | null>> = {
  number: parseNumber,
  duration: (text) => nanToNull(parseLineDurationS(text)),
  bytes: (text) => nanToNull(parseBytes(text)),
};

/** Parses a label's value; null if it is not of this kind. */
export function labelParser(kind: 'number' | 'duration' | 'bytes'): (text: string) => number | null {
  return PARSERS[kind];
}

/**
 * Compiles a label filter. As in Loki, a numeric comparison fails without the label; a value that cannot be
 * parsed sets an error, and the line passes.
 */
export function compileCondition(
  condition: LabelCondition,
  regexes: RegexGroup,
): (line: PipelineLine) => boolean {
  if ('left' in condition) {
    const left = compileCondition(condition.left, regexes);
    const right = compileCondition(condition.right, regexes);
    return condition.kind === 'and'
      ? (line) => left(line) && right(line)
      : (line) => left(line) || right(line);
  }
  if (condition.kind === 'text') {
    const test = compileMatcher(condition.matcher, regexes);
    return (line) => test(line.labels);
  }
  if (condition.kind === 'ip') return compileAddressTest(condition);
  const { name, op, value, kind } = condition;
  const parse = labelParser(kind);
  return (line) => {
    // Loki does not count the error label as a label.
    if (name === ERROR_LABEL) return false;
    const text = line.labels.get(name);
    if (text === undefined) return false;
    const actual = parse(text);
    if (actual === null) {
      line.fail('LabelFilterErr', `${name}: ${JSON.stringify(text.slice(0, 100))} is not a ${kind}`);
      return true;
    }
    return COMPARE[op](actual, value);
  };
}

/** Compiles a test of addresses; a line with an error passes, like in Loki. */
function compileAddressTest({
  name,
  negated,
  range,
}: Extract<LabelCondition, { kind: 'ip' }>): (line: PipelineLine) => boolean {
  const addresses = AddressSet.parse(range)!;
  return ({ labels }) => {
    if (labels.has(ERROR_LABEL)) return true;
    const text = labels.get(name);
    return text !== undefined && addresses.isIn(text) !== negated;
  };
}

function nanToNull(value: number): number | null {
  return Number.isNaN(value) ? null : value;
}
