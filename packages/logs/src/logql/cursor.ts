import type { SyntaxNode } from '@lezer/common';
import { RegexGroup } from './regex.js';
import { syntaxError } from './syntax-error.js';

const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  t: '\t',
  r: '\r',
  a: '\x07',
  b: '\b',
  f: '\f',
  v: '\v',
  '\\': '\\',
  '"': '"',
  "'": "'",
};

/** A node of the syntax tree, with the query's text. */
export class Cursor {
  constructor(
    readonly query: string,
    readonly node: SyntaxNode,
    /** Those of the whole query. */
    readonly regexes = new RegexGroup(),
  ) {}

  get name(): string {
    return this.node.name;
  }

  get at(): number {
    return this.node.from;
  }

  get text(): string {
    return this.query.slice(this.node.from, this.node.to);
  }

  get children(): Cursor[] {
    const children: Cursor[] = [];
    for (let node = this.node.firstChild; node !== null; node = node.nextSibling)
      children.push(new Cursor(this.query, node, this.regexes));
    return children;
  }

  /** The first child of one of these kinds. */
  find(...names: readonly string[]): Cursor | undefined {
    return this.children.find((child) => names.includes(child.name));
  }

  /** @throws LogsError `BAD_INPUT` if there is no such child */
  get(...names: readonly string[]): Cursor {
    const child = this.find(...names);
    if (child === undefined) throw syntaxError(this.query, this.at, `expected ${names.join(' or ')}`);
    return child;
  }

  /** All descendants of one kind, in order, but none inside another of them. */
  all(name: string): Cursor[] {
    return this.children.flatMap((child) => (child.name === name ? [child] : child.all(name)));
  }

  /** The value of a string literal, quoted (with Go's escapes) or in backticks. */
  get string(): string {
    const { text } = this;
    if (text.startsWith('`')) return text.slice(1, -1);
    return text
      .slice(1, -1)
      .replace(
        /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))/gs,
        (_, x?: string, u?: string, long?: string, octal?: string, letter = '') => {
          const hex = x ?? u ?? long;
          if (hex !== undefined || octal !== undefined) {
            const code = octal === undefined ? Number.parseInt(hex!, 16) : Number.parseInt(octal, 8);
            if (code <= 0x10ffff) return String.fromCodePoint(code);
          } else if (letter in ESCAPES) return ESCAPES[letter];
          throw syntaxError(this.query, this.at, `invalid escape in ${text}`);
        },
      );
  }
}
