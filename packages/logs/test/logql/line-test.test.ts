import { expect, it } from 'vitest';
import type { LineFilter } from '../../src/logql/ast.js';
import { compileLineTest } from '../../src/logql/line-test.js';
import { Regex, RegexGroup } from '../../src/logql/regex.js';
import { randomNumbers } from '../support.js';

const PATTERNS = [
  String.raw`a a|b ^a a$ ^$ \Aa a\z \Aa\z \\A (?-m)^a (?-m:a$) (?s-m:^a.b)`.split(' '),
  String.raw`(?m)^a a.b [^a]b a\sb \bab\b \Bb (?i)AB é$ ^(?:a|b)*$ .{90}b`.split(' '),
  ['', 'a\nb'],
].flat();

/** A buffer of lines, and where each begins and ends. */
function bufferOf(lines: readonly string[]): { bytes: Buffer; spans: (readonly [number, number])[] } {
  const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
  let from = 0;
  const spans = lines.map((line) => {
    const to = from + Buffer.byteLength(line);
    const span = [from, to] as const;
    from = to + 1;
    return span;
  });
  return { bytes, spans };
}

it.each(PATTERNS)('a buffer that may not pass has no line that matches %s', (pattern) => {
  const random = randomNumbers(7);
  const regex = new Regex(pattern, new RegexGroup());
  for (const op of ['|~', '!~'] as const) {
    const filter: LineFilter = { kind: 'line-filter', op, texts: [pattern], ips: [] };
    const test = compileLineTest([filter], new RegexGroup());
    for (let i = 0; i < 60; i++) {
      const lines = Array.from({ length: 1 + Math.floor(random() * 4) }, () =>
        Array.from({ length: Math.floor(random() * 4) }, () => 'abAé \\'[Math.floor(random() * 6)]).join(''),
      );
      const { bytes, spans } = bufferOf(lines);
      const expected = lines.map((line) => regex.test(line) === (op === '|~'));
      test.begin(bytes);
      if (!test.mayPass()) expect([lines, expected]).toEqual([lines, lines.map(() => false)]);
      expect([lines, spans.map(([from, to]) => test.passes(from, to))]).toEqual([lines, expected]);
    }
  }
});

it('a buffer without the text of any filter may not pass', () => {
  const filters: LineFilter[] = [
    { kind: 'line-filter', op: '|=', texts: ['one', 'two'], ips: [] },
    { kind: 'line-filter', op: '|~', texts: ['th.ee', '^four'], ips: [] },
  ];
  const mayPass = (text: string) => {
    const test = compileLineTest(filters, new RegexGroup());
    test.begin(Buffer.from(text));
    return test.mayPass();
  };
  expect(mayPass('one\nthree')).toBe(true);
  expect(mayPass('two\nfour')).toBe(true);
  expect(mayPass('two\n four')).toBe(false);
  expect(mayPass('three\nfour')).toBe(false);
});
