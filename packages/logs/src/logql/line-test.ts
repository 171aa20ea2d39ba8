import type { LineSieve } from '../store/log-reader.js';
import type { LineFilter } from './ast.js';
import { Regex } from './regex.js';

/** Line filters, applied to the bytes of lines. */
export interface LineTest extends LineSieve {
  /** Whether the line passes; lines of a buffer are tested from its beginning to its end. */
  passes(from: number, to: number): boolean;
}

/** Joins line filters that follow each other; all must pass. Their order makes no difference to the outcome. */
export function compileLineTest(filters: readonly LineFilter[]): LineTest {
  const tests = filters.map(compileFilter);
  const needles = tests.flatMap(({ needle }) => (needle === null ? [] : [needle]));
  return {
    // The longest is likely the rarest.
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

function compileFilter({ op, texts }: LineFilter): LineTest {
  const isNegated = op.startsWith('!');
  // An empty text is in every line.
  const parts = texts.map((text) => (op.endsWith('~') ? new RegexTest(text) : new TextTest(text)));
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

/** Remembers where the text comes next, so that a buffer is searched once however many lines it has. */
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

/** Matching a whole buffer stops others from working, so it must be quicker than what a single line may take. */
const MAX_STEPS_OF_BUFFER = 10_000_000;

class RegexTest implements LineTest {
  readonly needle = null;
  readonly #line: Regex;
  /** Matches a buffer if it matches any of its lines; null if there is none. */
  readonly #buffer: Regex | null;
  #bytes: Buffer = Buffer.alloc(0);

  constructor(pattern: string) {
    this.#line = new Regex(pattern);
    // With (?m), ^ and $ hold at each line; \A and \z do not, nor does ^ where the pattern takes (?m) back.
    this.#buffer = /\\[Az]|\(\?\w*-/.test(pattern) ? null : new Regex(`(?m)${pattern}`);
  }

  begin(bytes: Buffer): void {
    this.#bytes = bytes;
  }

  mayPass(): boolean {
    if (this.#buffer === null || this.#buffer.maxSteps(this.#bytes.length) > MAX_STEPS_OF_BUFFER) return true;
    return this.#buffer.test(this.#bytes.toString());
  }

  passes(from: number, to: number): boolean {
    return this.#line.test(this.#bytes.toString('utf8', from, to));
  }
}
