import { LogsError } from '../errors.js';
import { RegexGroup } from './regex.js';

type TokenKind = 'string' | 'range' | 'flag' | 'bytes' | 'duration' | 'number' | 'word' | 'symbol' | 'end';

export interface Token {
  readonly kind: TokenKind;
  /** Text as written in the query. */
  readonly text: string;
  readonly at: number;
}

/** The first alternative that matches is used. */
const TOKEN = new RegExp(
  [
    '(?<space>(?:\\s|#[^\\n]*)+)',
    '(?<string>"(?:[^"\\\\\\n]|\\\\.)*"|`[^`]*`)',
    '(?<range>\\[[^\\]]*\\])',
    '(?<flag>--(?:strict|keep-empty)\\b)',
    '(?<bytes>\\d+(?:\\.\\d+)?(?:[kKMGTPE]i?)?B\\b)',
    '(?<duration>(?:\\d+(?:\\.\\d+)?(?:ns|us|µs|μs|ms|[smhdwy]))+)',
    '(?<number>0[xXbBoO][0-9A-Fa-f.]+(?:[pP][+-]?\\d+)?|(?:\\d+\\.?\\d*|\\.\\d+)(?:[eE][+-]?\\d+)?)',
    '(?<word>[A-Za-z_][A-Za-z0-9_]*)',
    '(?<symbol>\\|[=~>]|![=~>]|=[=~]|[<>]=|[{}(),=|<>+*/%^-])',
  ].join('|'),
  'gy',
);

/** Splits a query into tokens; the last is `end`. @throws LogsError `BAD_INPUT` */
function tokenize(query: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  for (const match of query.matchAll(TOKEN)) {
    const [kind, text] = Object.entries(match.groups!).find(([, group]) => group !== undefined)!;
    if (kind !== 'space') tokens.push({ kind: kind as TokenKind, text, at });
    at += text.length;
  }
  if (at < query.length) {
    const isQuoted = /["`]/.test(query[at]!);
    throw syntaxError(
      query,
      at,
      `syntax error: ${isQuoted ? 'a string without its end' : `unexpected ${query[at]}`}`,
    );
  }
  tokens.push({ kind: 'end', text: '', at });
  return tokens;
}

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

/**
 * Parses a string literal, quoted (with Go's escapes) or in backticks.
 *
 * @returns null if it contains an escape that Go does not know
 */
export function unquote(literal: string): string | null {
  if (literal.startsWith('`')) return literal.slice(1, -1);
  let isValid = true;
  const text = literal
    .slice(1, -1)
    .replace(
      /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))/gs,
      (_, x?: string, u?: string, long?: string, octal?: string, letter = '') => {
        const code = Number.parseInt(x ?? u ?? long ?? octal ?? '', octal === undefined ? 16 : 8);
        if (code <= 0x10ffff) return String.fromCodePoint(code);
        isValid &&= letter in ESCAPES;
        return ESCAPES[letter] ?? '';
      },
    );
  return isValid ? text : null;
}

/** Returns a parse error in Loki's format, which clients parse for the position. */
export function syntaxError(query: string, at: number, message: string): LogsError {
  const before = query.slice(0, at).split('\n');
  return new LogsError(
    'BAD_INPUT',
    `parse error at line ${before.length}, col ${before.at(-1)!.length + 1}: ${message}`,
  );
}

/** Returns an error for valid LogQL that is not implemented here. */
function notSupported(query: string, at: number, name: string): LogsError {
  return syntaxError(query, at, `\`${name}\` is not supported`);
}

const MAX_DEPTH = 200;

/** The tokens of a query, as its parser consumes them. */
export class Tokens {
  /** Regular expressions of the whole query. */
  readonly regexes = new RegexGroup();
  readonly #tokens: readonly Token[];
  #next = 0;
  #depth = 0;

  constructor(private readonly query: string) {
    this.#tokens = tokenize(query);
  }

  get next(): Token {
    return this.#tokens[this.#next]!;
  }

  /** Whether the next token is one of these symbols or words. */
  is(...texts: readonly string[]): boolean {
    const { kind, text } = this.next;
    return (kind === 'symbol' || kind === 'word') && texts.includes(text);
  }

  isBefore(kind: TokenKind): boolean {
    return this.#after(1)?.kind === kind;
  }

  isBeforeWord(word: string): boolean {
    return this.isBefore('word') && this.#after(1)?.text === word;
  }

  /** Whether a list of names in parentheses follows, rather than an expression in parentheses. */
  isNames(): boolean {
    if (!this.is('(')) return false;
    return (
      this.#after(1)?.text === ')' || (this.isBefore('word') && /^[,)]$/.test(this.#after(2)?.text ?? ''))
    );
  }

  #after(distance: number): Token | undefined {
    return this.#tokens[this.#next + distance];
  }

  isKind(...kinds: readonly TokenKind[]): boolean {
    return kinds.includes(this.next.kind);
  }

  take(): Token {
    const token = this.next;
    if (token.kind !== 'end') this.#next++;
    return token;
  }

  accept(...texts: readonly string[]): Token | null {
    return this.is(...texts) ? this.take() : null;
  }

  /** @throws LogsError `BAD_INPUT` if the next token is none of these */
  expect(...texts: readonly string[]): Token {
    const token = this.accept(...texts);
    if (token === null) throw this.unexpected(texts.join(' or '));
    return token;
  }

  /** @throws LogsError `BAD_INPUT` if the next token is not of this kind */
  expectKind(kind: TokenKind, what: string): Token {
    if (!this.isKind(kind)) throw this.unexpected(what);
    return this.take();
  }

  name(): string {
    return this.expectKind('word', 'a name').text;
  }

  string(): string {
    const token = this.expectKind('string', 'a string');
    const value = unquote(token.text);
    if (value === null) throw this.errorAt(token, `invalid escape in ${token.text}`);
    return value;
  }

  /** Reads a list in parentheses, which may be empty. */
  names(): string[] {
    this.expect('(');
    if (this.accept(')') !== null) return [];
    const names = this.list(() => this.name());
    this.expect(')');
    return names;
  }

  /** Reads one or more items, with commas between them. */
  list<T>(read: () => T): T[] {
    const items = [read()];
    while (this.accept(',') !== null) items.push(read());
    return items;
  }

  /** Reads something that may nest. @throws LogsError `BAD_INPUT` if it nests too deeply */
  nested<T>(read: () => T): T {
    if (++this.#depth > MAX_DEPTH) throw new LogsError('BAD_INPUT', 'the query is nested too deeply');
    const result = read();
    this.#depth--;
    return result;
  }

  /** Returns the error for a token that is not allowed at its place. */
  unexpected(expecting?: string): LogsError {
    const { kind, text } = this.next;
    const found = kind === 'end' ? 'end of the query' : text;
    const hint = expecting === undefined ? '' : `, expecting ${expecting}`;
    return this.errorAt(this.next, `syntax error: unexpected ${found}${hint}`);
  }

  errorAt({ at }: Token, message: string): LogsError {
    return syntaxError(this.query, at, message);
  }

  notSupported({ at, text }: Token): LogsError {
    return notSupported(this.query, at, text);
  }
}
