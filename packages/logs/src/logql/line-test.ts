import type { LineFilter } from './ast.js';
import { RegexMatcher, requiredText } from './regex/matcher.js';
import { parseRegex } from './regex/parse.js';

/** Line filters, applied to the bytes of lines. */
export interface LineTest {
  /** What every line that passes contains, to search for; null if nothing is known. */
  readonly needle: Buffer | null;
  /** Called once for a buffer, before its lines are tested from its beginning to its end. */
  begin(bytes: Buffer): void;
  /** Whether the line passes. */
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

  passes(from: number, to: number): boolean {
    if (this.#next < from) {
      const next = this.#bytes.indexOf(this.needle, from);
      this.#next = next < 0 ? Number.POSITIVE_INFINITY : next;
    }
    return this.#next + this.needle.length <= to;
  }
}

class RegexTest implements LineTest {
  readonly needle: Buffer | null;
  readonly #matcher: RegexMatcher;
  readonly #text: TextTest | null;
  #bytes: Buffer = Buffer.alloc(0);

  constructor(pattern: string) {
    const regex = parseRegex(pattern);
    const text = requiredText(regex);
    this.#matcher = new RegexMatcher(regex, { anchored: false });
    this.#text = text === '' ? null : new TextTest(text);
    this.needle = this.#text?.needle ?? null;
  }

  begin(bytes: Buffer): void {
    this.#bytes = bytes;
    this.#text?.begin(bytes);
  }

  passes(from: number, to: number): boolean {
    return (this.#text?.passes(from, to) ?? true) && this.#matcher.test(this.#bytes, from, to);
  }
}
