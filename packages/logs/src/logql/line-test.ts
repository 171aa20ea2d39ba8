import type { LineSieve } from '../store/log-reader.js';
import type { LineFilter } from './ast.js';
import { AddressSet } from './ip.js';
import { type PatternPart, parseLinePattern } from './pattern.js';
import { Regex, RegexGroup } from './regex.js';

/** Compiles the conjunction of consecutive line filters. */
export function compileLineTest(filters: readonly LineFilter[], regexes: RegexGroup): LineTest {
  const ofBuffer = new RegexGroup();
  const tests = filters.map((filter) => compileFilter(filter, regexes, ofBuffer));
  const needles = tests.flatMap(({ needle }) => (needle === null ? [] : [needle]));
  return {
    // The longest text is likely the rarest.
    needle: needles.sort((a, b) => b.length - a.length)[0] ?? null,
    begin(bytes) {
      for (const test of tests) test.begin(bytes);
    },
    mayPass: () => tests.every((test) => test.mayPass()),
    passes(from, to) {
      for (const test of tests) if (!test.passes(from, to)) return false;
      return true;
    },
  };
}

function compileFilter({ op, texts, ips }: LineFilter, ofLine: RegexGroup, ofBuffer: RegexGroup): LineTest {
  const isNegated = op.startsWith('!');
  const parts = texts.map((text): LineTest => {
    if (op.endsWith('~')) return regexTest(text, ofLine, ofBuffer);
    return op.endsWith('>') ? linePatternTest(text) : textTest(text);
  });
  parts.push(...ips.map((range) => addressTest(range)));
  const [only] = parts;
  return {
    // An empty text is in every line, so it cannot be searched for.
    needle: isNegated || parts.length > 1 || only!.needle?.length === 0 ? null : only!.needle,
    begin(bytes) {
      for (const part of parts) part.begin(bytes);
    },
    mayPass: () => isNegated || parts.some((part) => part.mayPass()),
    passes: (from, to) => parts.some((part) => part.passes(from, to)) !== isNegated,
  };
}

/** Line filters on bytes. */
export interface LineTest extends LineSieve {
  /** Whether the line passes. Lines must be tested in buffer order. */
  passes(from: number, to: number): boolean;
}

/** Makes a test of lines in the buffer passed to `begin`. */
function lineTest(
  passes: (bytes: Buffer, from: number, to: number) => boolean,
  mayPass: (bytes: Buffer) => boolean = () => true,
): LineTest {
  let bytes: Buffer = Buffer.alloc(0);
  return {
    needle: null,
    begin(next) {
      bytes = next;
    },
    mayPass: () => mayPass(bytes),
    passes: (from, to) => passes(bytes, from, to),
  };
}

function regexTest(pattern: string, ofLine: RegexGroup, ofBuffer: RegexGroup): LineTest {
  const line = new Regex(pattern, ofLine);
  // A buffer is tested as a whole, with (?m) so that ^ and $ match at each line. That is not possible with \A
  // and \z, nor with ^ and $ after (?-m).
  const buffer = /\\[Az]|\(\?\w*-/.test(pattern) ? null : new Regex(`(?m)${pattern}`, ofBuffer);
  return lineTest(
    (bytes, from, to) => line.test(bytes.toString('utf8', from, to)),
    (bytes) => buffer === null || !ofBuffer.isQuick(bytes.length) || buffer.test(bytes.toString()),
  );
}

function addressTest(range: string): LineTest {
  const addresses = AddressSet.parse(range)!;
  return lineTest((bytes, from, to) => addresses.isIn(bytes.toString('latin1', from, to)));
}

/** Makes a test for a text that stores its next position, so that a buffer is searched only once for all its lines. */
function textTest(text: string): LineTest {
  const needle = Buffer.from(text);
  let bytes: Buffer = Buffer.alloc(0);
  let next = 0;
  const passes = (from: number, to: number) => {
    if (next < from) {
      const found = bytes.indexOf(needle, from);
      next = found < 0 ? Number.POSITIVE_INFINITY : found;
    }
    return next + needle.length <= to;
  };
  return {
    needle,
    begin(buffer) {
      bytes = buffer;
      next = -1;
    },
    mayPass: () => passes(0, bytes.length),
    passes,
  };
}

/**
 * Compiles `|> "<_> 200"`: the texts of a pattern follow each other in the line, with something in between
 * for each `<_>`. As in Loki, anything may come before a text at the start of the pattern, and nothing after
 * one at its end.
 */
function linePatternTest(pattern: string): LineTest {
  const parts = parseLinePattern(pattern, (message) => {
    throw new Error(message);
  });
  const isText = (part: PatternPart | undefined) => part === undefined || 'text' in part;
  const texts = parts.flatMap((part) => ('text' in part ? [Buffer.from(part.text)] : []));
  const longest = parts
    .flatMap((part) => ('text' in part ? [part.text] : []))
    .sort((a, b) => b.length - a.length)[0];
  const follow = lineTest((bytes, from, to) => {
    const line = bytes.subarray(from, to);
    let at = 0;
    for (const [i, text] of texts.entries()) {
      const found = line.indexOf(text, at);
      const mayBeBeside = i === 0 && isText(parts[0]);
      if (found < 0 || (found === at && !mayBeBeside)) return false;
      at = found + text.length;
    }
    return (at === line.length) === isText(parts.at(-1));
  });
  if (longest === undefined) return follow;
  const sieve = textTest(longest);
  return {
    needle: sieve.needle,
    begin(bytes) {
      sieve.begin(bytes);
      follow.begin(bytes);
    },
    mayPass: () => sieve.mayPass(),
    passes: (from, to) => sieve.passes(from, to) && follow.passes(from, to),
  };
}
