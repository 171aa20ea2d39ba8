import type { LineFilter } from './ast.js';
import { AddressSet } from './ip.js';
import { LinePatternTest } from './line-pattern.js';
import { Regex, RegexGroup } from './regex.js';
import { type LineTest, TextTest } from './text-test.js';

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
