import type { LineSieve } from '../store/log-reader.js';
import type { LineFilter } from './ast.js';
import { Regex, RegexGroup } from './regex.js';

/** Line filters on bytes. */
export interface LineTest extends LineSieve {
  /** Whether the line passes. Lines must be tested in buffer order. */
  passes(from: number, to: number): boolean;
}

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

function compileFilter({ op, texts }: LineFilter, ofLine: RegexGroup, ofBuffer: RegexGroup): LineTest {
  const isNegated = op.startsWith('!');
  // An empty text is in every line, so it cannot be searched for.
  const parts = texts.map((text) =>
    op.endsWith('~') ? new RegexTest(text, ofLine, ofBuffer) : new TextTest(text),
  );
  const [only] = parts;
  return {
    needle: isNegated || parts.length > 1 || only.needle?.length === 0 ? null : only.needle,
    begin(bytes) {
      for (const part of parts) part.begin(bytes);
    },
    mayPass: () => isNegated || parts.some((part) => part.mayPass()),
    passes: (from, to) => parts.some((part) => part.passes(from, to)) !== isNegated,
  };
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

class RegexTest implements LineTest {
  readonly needle = null;
  readonly #line: Regex;
  /** Matches a buffer if any of its lines matches; null if no such expression is known. */
  readonly #buffer: Regex | null;
  #bytes: Buffer = Buffer.alloc(0);

  constructor(
    pattern: string,
    ofLine: RegexGroup,
    readonly ofBuffer: RegexGroup,
  ) {
    this.#line = new Regex(pattern, ofLine);
    // With (?m), ^ and $ match at each line. \A and \z do not, nor ^ and $ after (?-m).
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
