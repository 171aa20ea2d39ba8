import { describe, expect, it } from 'vitest';
import { Regex, RegexGroup } from '../../src/logql/regex.js';
import { randomNumbers } from '../support.js';

const newRegex = (pattern: string) => new Regex(pattern, new RegexGroup());

describe('Regex', () => {
  // Patterns are separated by spaces; a space within a pattern is written \\x20.
  const patterns = String.raw`
    abc a|b|cd (ab)*c a+b?c* ^ab ab$ ^$ a.c [a-c]+x [^a-c] a{2} a{2,}b a{1,3}c b{0}a \bab\b \Ba
    \d+\s\w (?:a|ab)(?:c|bcd) é+ [à-ü]b . \. (a*)*b x* [\w.-]+@ [^]a] 日.語`.split(/\s+/);
  const alphabet = ['a', 'b', 'c', 'd', 'x', ' ', '1', '.', 'é', 'ü', '日', '語', '@', '-', '😀', ']'];
  const random = randomNumbers(3);
  const texts = Array.from({ length: 300 }, () =>
    Array.from(
      { length: Math.floor(random() * 8) },
      () => alphabet[Math.floor(random() * alphabet.length)],
    ).join(''),
  );

  it.each(patterns)('agrees with the engine of JavaScript on %s', (pattern) => {
    // In JavaScript `[^]` matches any character; in RE2 the bracket is a member of the class.
    const native = pattern.replace('[^]a]', '[^\\]a]');
    const regex = newRegex(pattern);
    const whole = `^(?:${native})$`;
    expect(texts.filter((text) => regex.test(text))).toEqual(
      texts.filter((text) => new RegExp(native, 'u').test(text)),
    );
    expect(texts.filter((text) => regex.testWhole(text))).toEqual(
      texts.filter((text) => new RegExp(whole, 'u').test(text)),
    );
  });

  it.each([
    ['(?i)nan', 'loss is NaN', true],
    ['(?i:n)aN', 'NaN', true],
    ['(?i:n)aN', 'NAN', false],
    ['a(?i)b', 'aB', true],
    ['a(?i)b', 'AB', false],
    ['(?i)É', 'é', true],
    ['(?s)a.b', 'a\nb', true],
    ['a.b', 'a\nb', false],
    ['(?P<name>a)(?<other>b)', 'ab', true],
    ['[[:digit:]]+', 'a1', true],
    ['[^[:alpha:]]', 'abc', false],
    ['\\x41\\x{42}', 'AB', true],
    ['a{,2}', 'a{,2}', true],
    ['\\p{Greek}\\pL', 'λx', true],
    ['\\B', 'aéb', false],
  ])('%s on %j: %s', (pattern, text, expected) => {
    expect(newRegex(pattern).test(text)).toBe(expected);
  });

  it.each([
    ['(', 'missing closing ): `(`'],
    [')', 'unexpected ): `)`'],
    ['[a', 'missing closing ]: `[a`'],
    ['*a', 'missing argument to repetition operator: `*`'],
    ['a**', 'invalid nested repetition operator: `**`'],
    ['a{2,1}', 'invalid repeat count: `{2,1}`'],
    ['a{1001}', 'invalid repeat count: `{1001}`'],
    ['(a)\\1', 'invalid escape sequence: `\\1`'],
    ['a(?=b)', 'invalid or unsupported Perl syntax: `(?=`'],
    ['(?<!a)b', 'invalid named capture: `(?<!a)b`'],
    ['[b-a]', 'invalid character class range: `b-a`'],
    ['((a{1000}){1000}){1000}', 'invalid repeat count: `{1000}`'],
    [`(?:${'a.'.repeat(100)}){1000}`, 'expression too large'],
  ])('refuses %s in the words of RE2: %s', (pattern, why) => {
    expect(() => newRegex(pattern)).toThrow(why);
  });

  // A backtracking engine would not finish here.
  it.each(['(a+)+$', '(a|aa)+$', '(.*a){12}$', '(a*)*(a*)*(a*)*b', '.*.*.*.*x', '^(\\w+\\s?)*$'])(
    'takes linear time where backtracking is exponential: %s',
    (pattern) => {
      expect(newRegex(pattern).test(`${'a'.repeat(1 << 17)}!`)).toBe(false);
    },
  );

  const hostile = newRegex('(?:a.{30}\\d|b.{40}\\d|c.{50}\\d|a.{60}\\d)');
  const textOf = (length: number) => Array.from({ length }, () => 'abc'[Math.floor(random() * 3)]).join('');

  it.each([`(?:${'a.'.repeat(600)}){1000}`, 'a{1000}'.repeat(700), `(?:${'\\pL'.repeat(100)}){1000}`])(
    'refuses a large expression before expanding it: %#',
    (pattern) => {
      expect(() => newRegex(pattern)).toThrow('expression too large');
    },
  );

  it('gives up rather than hang where even linear is too long', () => {
    expect(() => hostile.test(textOf(1 << 20))).toThrow('too expensive on a line of 1048576 characters');
    expect(() => hostile.testWhole(textOf(1 << 20))).toThrow('too expensive');
  });

  it('takes what is just not too long', () => {
    expect(hostile.test(textOf(50_000))).toBe(false);
  });
});
