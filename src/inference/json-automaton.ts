// Recognizes a JSON object byte by byte (RFC 8259, UTF-8). Between tokens it takes the white space of compact and of
// indented JSON alone, as a model could otherwise fill its answer with white space: one space, or a line feed with
// indentation; neither before the object, a colon or a comma, and no line feed after a colon. States are immutable values, so that a
// token can be tried without being taken.

/** Position of the next byte in the grammar; the parts of a number have their own. */
type Place =
  | 'start'
  | 'value'
  | 'first value'
  | 'first key'
  | 'key'
  | 'colon'
  | 'after'
  | 'string'
  | 'escape'
  | 'hex'
  | 'literal'
  | 'minus'
  | 'zero'
  | 'digits'
  | 'point'
  | 'fraction'
  | 'exponent'
  | 'exponent sign'
  | 'exponent digits'
  | 'done';

export interface JsonState {
  readonly place: Place;
  /** Brackets that are open, outermost first. */
  readonly open: string;
  /** Whether the string is a key. */
  readonly isKey: boolean;
  /** Remaining characters of a literal, or bounds of a character's remaining bytes, as pairs. */
  readonly rest: string;
  /** Hexadecimal digits that an escape still needs. */
  readonly hex: number;
  /** Spaces that may still follow; null if the last byte was not white space. */
  readonly indent: number | null;
}

export const JSON_START: JsonState = {
  place: 'start',
  open: '',
  isKey: false,
  rest: '',
  hex: 0,
  indent: null,
};

const LITERALS: Readonly<Record<string, string>> = { t: 'rue', f: 'alse', n: 'ull' };
/** Spaces of indentation for each open bracket, and of a line, after a line feed. */
const MAX_INDENT = 4;
const MAX_LINE_INDENT = 32;
/** Places where white space may stand, besides the end of a value. */
const SPACED: ReadonlySet<Place> = new Set(['value', 'first value', 'key', 'first key']);
/** Places where a number may end. */
const WHOLE_NUMBER: ReadonlySet<Place> = new Set(['zero', 'digits', 'fraction', 'exponent digits']);
/** Transitions within a number: the bytes that may follow a place, and the places that they lead to. */
const NUMBERS: Readonly<Partial<Record<Place, readonly (readonly [RegExp, Place])[]>>> = {
  minus: [
    [/0/, 'zero'],
    [/[1-9]/, 'digits'],
  ],
  zero: [
    [/\./, 'point'],
    [/[eE]/, 'exponent'],
  ],
  digits: [
    [/\d/, 'digits'],
    [/\./, 'point'],
    [/[eE]/, 'exponent'],
  ],
  point: [[/\d/, 'fraction']],
  fraction: [
    [/\d/, 'fraction'],
    [/[eE]/, 'exponent'],
  ],
  exponent: [
    [/[+-]/, 'exponent sign'],
    [/\d/, 'exponent digits'],
  ],
  'exponent sign': [[/\d/, 'exponent digits']],
  'exponent digits': [[/\d/, 'exponent digits']],
};

/** Returns the bounds of the bytes after the first byte of a character, as pairs of bytes (Unicode, table 3-7). */
function continuation(first: number): string | null {
  const any = '\x80\xbf';
  if (first < 0xc2 || first > 0xf4) return null;
  if (first < 0xe0) return any;
  if (first < 0xf0) return (first === 0xe0 ? '\xa0\xbf' : first === 0xed ? '\x80\x9f' : any) + any;
  return (first === 0xf0 ? '\x90\xbf' : first === 0xf4 ? '\x80\x8f' : any) + any + any;
}

/** Returns the state after a byte; null if the byte cannot follow. */
export function nextJson(state: JsonState, byte: number): JsonState | null {
  const { place, open, isKey, rest, hex, indent } = state;
  const character = String.fromCharCode(byte);
  const to = (place: Place, more: Partial<JsonState> = {}): JsonState =>
    Object.assign({}, state, { place, indent: null }, more);
  const space = (place: Place) => {
    if (indent !== null) return character === ' ' && indent > 0 ? to(place, { indent: indent - 1 }) : null;
    return to(place, { indent: character === ' ' ? 0 : Math.min(MAX_LINE_INDENT, MAX_INDENT * open.length) });
  };
  const close = (bracket: string) =>
    open.at(-1) === bracket ? to(open.length === 1 ? 'done' : 'after', { open: open.slice(0, -1) }) : null;
  if (place === 'string') {
    if (rest !== '')
      return character >= rest[0]! && character <= rest[1]! ? to('string', { rest: rest.slice(2) }) : null;
    if (character === '"') return to(isKey ? 'colon' : 'after');
    if (character === '\\') return to('escape');
    if (byte < 0x80) return byte < 0x20 ? null : state;
    const more = continuation(byte);
    return more === null ? null : to('string', { rest: more });
  }
  if (place === 'escape') {
    if (character === 'u') return to('hex', { hex: 4 });
    return '"\\/bfnrt'.includes(character) ? to('string') : null;
  }
  if (place === 'hex')
    return /[\da-fA-F]/.test(character) ? to(hex === 1 ? 'string' : 'hex', { hex: hex - 1 }) : null;
  if (place === 'literal') {
    if (character !== rest[0]) return null;
    return to(rest.length === 1 ? 'after' : 'literal', { rest: rest.slice(1) });
  }
  const inNumber = NUMBERS[place]?.find(([bytes]) => bytes.test(character));
  if (inNumber) return to(inNumber[1]);
  if (place === 'after' || WHOLE_NUMBER.has(place)) {
    if (character === '}') return close('{');
    if (character === ']') return close('[');
    if (character === ' ' || character === '\n') return space('after');
    return character === ',' && indent === null ? to(open.at(-1) === '{' ? 'key' : 'value') : null;
  }
  const isMember = place === 'value' && open.at(-1) === '{';
  if (SPACED.has(place) && (character === ' ' || (character === '\n' && !isMember))) return space(place);
  if (place === 'start') return character === '{' ? to('first key', { open: '{' }) : null;
  if (place === 'colon') return character === ':' ? to('value') : null;
  if (place === 'key' || place === 'first key') {
    if (character === '"') return to('string', { isKey: true });
    return character === '}' && place === 'first key' ? close('{') : null;
  }
  if (place !== 'value' && place !== 'first value') return null;
  if (character === ']' && place === 'first value') return close('[');
  if (character === '"') return to('string', { isKey: false });
  if (character === '{') return to('first key', { open: `${open}{` });
  if (character === '[') return to('first value', { open: `${open}[` });
  if (character === '-') return to('minus');
  if (/\d/.test(character)) return to(character === '0' ? 'zero' : 'digits');
  const literal = LITERALS[character];
  return literal === undefined ? null : to('literal', { rest: literal });
}

/** Minimum number of bytes that a place needs, besides those for open brackets, `rest` and `hex`. */
const NEEDS: Readonly<Partial<Record<Place, number>>> = {
  start: 2,
  value: 1,
  key: 4,
  colon: 2,
  escape: 1,
  minus: 1,
  point: 1,
  exponent: 1,
  'exponent sign': 1,
};
const IN_STRING: ReadonlySet<Place> = new Set(['string', 'escape', 'hex']);

/** Returns the minimum number of bytes to the object's end; `nextJson` always accepts a byte that lowers it by one. */
export function bytesToEnd({ place, open, isKey, rest, hex }: JsonState): number {
  // A key is followed by a colon and a value.
  const string = IN_STRING.has(place) ? (isKey ? 3 : 1) : 0;
  return open.length + (NEEDS[place] ?? 0) + string + rest.length / (place === 'literal' ? 1 : 2) + hex;
}
