import { describe, expect, it } from 'vitest';
import { RegexMatcher, requiredText } from '../../src/logql/regex/matcher.js';
import { parseRegex } from '../../src/logql/regex/parse.js';
import { randomNumbers } from '../support.js';

describe('RegexMatcher', () => {
  const patterns = [
    'abc',
    'a|b|cd',
    '(ab)*c',
    'a+b?c*',
    '^ab',
    'ab$',
    '^$',
    '',
    'a.c',
    '[a-c]+x',
    '[^a-c]',
    'a{2}',
    'a{2,}b',
    'a{1,3}c',
    'b{0}a',
    '\\bab\\b',
    '\\Ba',
    '\\d+\\s\\w',
    '(?:a|ab)(?:c|bcd)',
    'é+',
    '[à-ü]b',
    '.',
    '\\.',
    '(a*)*b',
    'x*',
    '[\\w.-]+@',
    '[^]a]',
    '日.語',
  ];
  const alphabet = ['a', 'b', 'c', 'd', 'x', ' ', '1', '.', 'é', 'ü', '日', '語', '@', '-', '😀', ']'];
  const random = randomNumbers(3);
  const texts = Array.from({ length: 300 }, () =>
    Array.from(
      { length: Math.floor(random() * 8) },
      () => alphabet[Math.floor(random() * alphabet.length)],
    ).join(''),
  );

  it.each(patterns)('agrees with the engine of JavaScript on %s', (pattern) => {
    // In JavaScript `[^]` is any character; RE2 takes the bracket as a member.
    const native = pattern.replace('[^]a]', '[^\\]a]');
    const part = RegexMatcher.of(pattern, { anchored: false });
    const whole = RegexMatcher.of(pattern, { anchored: true });
    for (const text of texts) {
      expect([text, part.testText(text)]).toEqual([text, new RegExp(native, 'u').test(text)]);
      expect([text, whole.testText(text)]).toEqual([text, new RegExp(`^(?:${native})$`, 'u').test(text)]);
    }
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
  ])('%s on %j: %s', (pattern, text, expected) => {
    expect(RegexMatcher.of(pattern, { anchored: false }).testText(text)).toBe(expected);
  });

  it.each([
    ['(', 'missing )'],
    [')', 'unexpected )'],
    ['[a', 'missing ]'],
    ['*a', 'nothing to repeat'],
    ['a**', 'nested repetition'],
    ['a{2,1}', 'ends before'],
    ['a{1001}', 'more than 1000'],
    ['(a)\\1', 'back reference \\1 is not supported'],
    ['a(?=b)', 'looking ahead'],
    ['(?<!a)b', 'looking ahead or behind'],
    ['\\pL', '\\p is not supported'],
    ['[b-a]', 'ends before'],
    ['((a{1000}){1000}){1000}', 'too large'],
  ])('refuses %s: %s', (pattern, why) => {
    expect(() => RegexMatcher.of(pattern, { anchored: false })).toThrow(why);
  });

  it.each(['(a+)+$', '(a|aa)+$', '(.*a){12}$', '(a*)*(a*)*(a*)*b', '.*.*.*.*x', '^(\\w+\\s?)*$'])(
    'is linear where others explode: %s',
    (pattern) => {
      const matcher = RegexMatcher.of(pattern, { anchored: false });
      const started = performance.now();
      expect(matcher.testText(`${'a'.repeat(1 << 20)}!`)).toBe(false);
      expect(performance.now() - started).toBeLessThan(2_000);
    },
  );

  it('gives up rather than hang where even linear is too long', () => {
    const matcher = RegexMatcher.of('(?:[ab]{0,90}[bc]){40}x', { anchored: false });
    const random = randomNumbers(5);
    const text = Array.from({ length: 1 << 20 }, () => 'abc'[Math.floor(random() * 3)]).join('');
    const started = performance.now();
    expect(() => matcher.testText(text)).toThrow('too expensive');
    expect(performance.now() - started).toBeLessThan(10_000);
  });
});

describe('requiredText', () => {
  it.each([
    ['loss is NaN', 'loss is NaN'],
    ['a.*NaN', 'NaN'],
    ['(?i)nan', ''],
    ['step|loss', ''],
    ['(abc)+d', 'abc'],
    ['x(abc)*', 'x'],
    ['a?long', 'long'],
  ])('of %s is %j', (pattern, expected) => {
    expect(requiredText(parseRegex(pattern))).toBe(expected);
  });
});
