import { syntaxError } from './syntax-error.js';

export type TokenKind =
  | 'string'
  | 'range'
  | 'flag'
  | 'bytes'
  | 'duration'
  | 'number'
  | 'word'
  | 'symbol'
  | 'end';

export interface Token {
  readonly kind: TokenKind;
  /** Text as written in the query. */
  readonly text: string;
  /** Offset in the query. */
  readonly at: number;
}

/** The first alternative that fits is taken. */
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
export function tokenize(query: string): Token[] {
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
 * The value of a string literal, quoted (with Go's escapes) or in backticks.
 *
 * @returns null if it has an escape that Go does not know
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
