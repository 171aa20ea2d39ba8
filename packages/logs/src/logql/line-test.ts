import type { LineSieve } from '../store/log-reader.js';
import type { LineFilter } from './ast.js';
import { AddressSet } from './ip.js';
import { parseLinePattern } from './pattern.js';
import { Regex, RegexGroup } from './regex.js';

/** The conjunction of consecutive line filters. */
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
    if (op.endsWith('~')) return new RegexTest(text, ofLine, ofBuffer);
    return op.endsWith('>') ? new LinePatternTest(text) : new TextTest(text);
  });
  parts.push(...ips.map((range) => new AddressTest(range)));
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

class RegexTest implements LineTest {
  readonly needle = null;
  readonly #line: Regex;
  /** Matches a buffer if any of its lines matches; null if no such expression is known. */
  readonly #buffer: Regex | null;
  #bytes: Buffer = Buffer.alloc(0);

  constructor(
    pattern: string,
    ofLine: RegexGroup,
    private readonly ofBuffer: RegexGroup,
  ) {
    this.#line = new Regex(pattern, ofLine);
    // (?m) lets ^ and $ match at each line, but not \A and \z, nor ^ and $ after (?-m).
    this.#buffer = /\\[Az]|\(\?\w*-/.test(pattern) ? null : new Regex(`(?m)${pattern}`, ofBuffer);
  }

  begin(bytes: Buffer): void {
    this.#bytes = bytes;
  }

  mayPass(): boolean {
    if (this.#buffer === null || !this.ofBuffer.isQuick(this.#bytes.length)) return true;
    return this.#buffer.test(this.#bytes.toString());
  }

  passes(from: number, to: number): boolean {
    return this.#line.test(this.#bytes.toString('utf8', from, to));
  }
}

class AddressTest implements LineTest {
  readonly needle = null;
  readonly #addresses: AddressSet;
  #bytes: Buffer = Buffer.alloc(0);

  constructor(range: string) {
    this.#addresses = AddressSet.parse(range)!;
  }

  begin(bytes: Buffer): void {
    this.#bytes = bytes;
  }

  mayPass(): boolean {
    return true;
  }

  passes(from: number, to: number): boolean {
    return this.#addresses.isIn(this.#bytes.toString('latin1', from, to));
  }
}

/** Line filters on bytes. */
export interface LineTest extends LineSieve {
  /** Whether the line passes. Lines must be tested in buffer order. */
  passes(from: number, to: number): boolean;
}

/** Keeps the next occurrence, so that a buffer is searched once for all its lines. */
class TextTest implements LineTest {
  readonly needle: Buffer;
  #bytes: Buffer = Buffer.alloc(0);
  #next = 0;

  constructor(text: string) {
    this.needle = Buffer.from(text);
  }

  begin(bytes: Buffer): void {
    this.#bytes = bytes;
    this.#next = -1;
  }

  mayPass(): boolean {
    return this.passes(0, this.#bytes.length);
  }

  passes(from: number, to: number): boolean {
    if (this.#next < from) {
      const next = this.#bytes.indexOf(this.needle, from);
      this.#next = next < 0 ? Number.POSITIVE_INFINITY : next;
    }
    return this.#next + this.needle.length <= to;
  }
}

/**
 * `|> "<_> 200"`: the texts of a pattern follow each other in the line, with something between them for each
 * `<_>`. As in Loki anything may come before a text at the start of the pattern, and nothing after one at its
 * end.
 */
class LinePatternTest implements LineTest {
  readonly needle: Buffer | null;
  readonly #texts: readonly Buffer[];
  readonly #beginsWithText: boolean;
  readonly #endsWithText: boolean;
  /** Test for the longest of the texts. */
  readonly #sieve: TextTest | null;
  #bytes: Buffer = Buffer.alloc(0);

  constructor(pattern: string) {
    const parts = parseLinePattern(pattern, (message) => {
      throw new Error(message);
    });
    const texts = parts.flatMap((part) => ('text' in part ? [part.text] : []));
    this.#texts = texts.map((text) => Buffer.from(text));
    this.#beginsWithText = parts.length === 0 || 'text' in parts[0]!;
    this.#endsWithText = parts.length === 0 || 'text' in parts[parts.length - 1]!;
    const [longest] = texts.sort((a, b) => b.length - a.length);
    this.#sieve = longest === undefined ? null : new TextTest(longest);
    this.needle = this.#sieve?.needle ?? null;
  }

  begin(bytes: Buffer): void {
    this.#bytes = bytes;
    this.#sieve?.begin(bytes);
  }

  mayPass(): boolean {
    return this.#sieve?.mayPass() ?? true;
  }

  passes(from: number, to: number): boolean {
    if (this.#sieve?.passes(from, to) === false) return false;
    const line = this.#bytes.subarray(from, to);
    let at = 0;
    for (const [i, text] of this.#texts.entries()) {
      const found = line.indexOf(text, at);
      const mayBeBeside = i === 0 && this.#beginsWithText;
      if (found < 0 || (found === at && !mayBeBeside)) return false;
      at = found + text.length;
    }
    return (at === line.length) === this.#endsWithText;
  }
}
