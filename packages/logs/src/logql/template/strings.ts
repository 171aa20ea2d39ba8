import { parseBytes, parseLineDurationS } from '../units.js';
import { type Arguments, atLeast, type CallContext, exactly, type TemplateFunction } from './arguments.js';
import { isTrue, TemplateError, textOf, typeName, type Value } from './values.js';

const MAX_CHARACTERS = 1 << 20;

/** Makes a function of one text. */
const ofText = (change: (text: string) => string) => exactly(1, (args) => change(args.string(0)));
/** Makes a function of an argument and a text, which comes last so that it can be piped in. */
const withText = <T extends Value>(change: (argument: string, text: string) => T) =>
  exactly(2, (args) => change(args.string(0), args.string(1)));
const withCount = (change: (count: number, text: string) => string) =>
  exactly(2, (args) => {
    const count = args.int(0);
    if (count > MAX_CHARACTERS) throw args.fail(`${count} is too many`);
    return change(count, args.string(1));
  });

export const STRINGS: Readonly<Record<string, TemplateFunction>> = {
  __line__: exactly(0, (_, { data }) => data.text),
  lower: ofText((text) => text.toLowerCase()),
  upper: ofText((text) => text.toUpperCase()),
  title: ofText((text) => text.replace(/(?<![\p{L}\p{N}_])\p{L}/gu, (letter) => letter.toUpperCase())),
  trim: ofText((text) => text.trim()),
  trimAll: withText((characters, text) => trimStart(characters, trimEnd(characters, text))),
  trimPrefix: withText((prefix, text) => (text.startsWith(prefix) ? text.slice(prefix.length) : text)),
  trimSuffix: withText((suffix, text) =>
    text.endsWith(suffix) ? text.slice(0, -suffix.length || undefined) : text,
  ),
  hasPrefix: withText((prefix, text) => text.startsWith(prefix)),
  hasSuffix: withText((suffix, text) => text.endsWith(suffix)),
  contains: withText((part, text) => text.includes(part)),
  replace: exactly(3, replaced),
  trunc: withCount(truncated),
  substr: exactly(3, (args) => {
    const [start, end] = [args.int(0), args.int(1)];
    const bytes = Buffer.from(args.string(2));
    if (start > bytes.length) throw args.fail(`slice bounds out of range [${start}:${bytes.length}]`);
    const until = end < 0 || end > bytes.length ? bytes.length : end;
    return bytes.subarray(Math.max(0, start), until).toString();
  }),
  alignLeft: withCount((width, text) => aligned(width, text, true)),
  alignRight: withCount((width, text) => aligned(width, text, false)),
  default: exactly(2, ({ all }) => (isTrue(all[1]!) ? all[1]! : all[0]!)),
  printf: atLeast(1, (args) => sprintf(args.string(0), args.all.slice(1))),
  bytes: exactly(1, (args) => numberOf(args, 'bytes', parseBytes)),
  duration: exactly(1, (args) => numberOf(args, 'duration', parseLineDurationS)),
  duration_seconds: exactly(1, (args) => numberOf(args, 'duration', parseLineDurationS)),
  regexReplaceAll: exactly(3, (args, context) => regexReplaced(args, context, false)),
  regexReplaceAllLiteral: exactly(3, (args, context) => regexReplaced(args, context, true)),
};

function truncated(count: number, text: string): string {
  const bytes = Buffer.from(text);
  if (Math.abs(count) >= bytes.length) return text;
  return (count < 0 ? bytes.subarray(count) : bytes.subarray(0, count)).toString();
}

function trimStart(characters: string, text: string): string {
  let at = 0;
  while (at < text.length && characters.includes(text[at]!)) at++;
  return text.slice(at);
}

function trimEnd(characters: string, text: string): string {
  let to = text.length;
  while (to > 0 && characters.includes(text[to - 1]!)) to--;
  return text.slice(0, to);
}

function aligned(width: number, text: string, isLeft: boolean): string {
  const letters = [...text];
  const missing = width - letters.length;
  if (width < 0 || missing === 0) return text;
  if (missing > 0) return isLeft ? text + ' '.repeat(missing) : ' '.repeat(missing) + text;
  return (isLeft ? letters.slice(0, width) : letters.slice(-missing)).join('');
}

function replaced(args: Arguments): string {
  const [from, to, text] = [args.string(0), args.string(1), args.string(2)];
  const parts = text.split(from);
  if (text.length + parts.length * to.length > MAX_CHARACTERS) throw args.fail('the result is too long');
  return parts.join(to);
}

function numberOf(args: Arguments, kind: string, parse: (text: string) => number): number {
  const value = parse(args.string(0));
  if (Number.isNaN(value)) throw args.fail(`${JSON.stringify(args.string(0).slice(0, 100))} is no ${kind}`);
  return value;
}

function regexOf(args: Arguments, index: number, text: string, context: CallContext) {
  const regex = context.regex(args.string(index));
  context.spend(regex.stepsOn(text) / 2);
  return regex;
}

function regexReplaced(args: Arguments, context: CallContext, isLiteral: boolean): string {
  const text = args.string(1);
  return regexOf(args, 0, text, context).replaceAll(text, args.string(2), isLiteral);
}

/** Verbs of a format, of which only `%f` takes a precision. */
const VERB = /%(?:\.(\d{1,2})(?=f))?([svqdtf%])|%.{0,3}/gs;

/** Returns the first unsupported verb of a format; null if there is none. */
export function unsupportedVerb(format: string): string | null {
  return [...format.matchAll(VERB)].find(([, , verb]) => verb === undefined)?.[0] ?? null;
}

/** Implements Go's `Sprintf` for `%s`, `%v`, `%q`, `%d`, `%t`, `%f` and `%.2f`. */
function sprintf(format: string, args: readonly Value[]): string {
  let next = 0;
  const text = format.replace(VERB, (all, digits: string | undefined, verb: string | undefined) => {
    if (verb === undefined) throw new TemplateError(`printf: ${all} is not supported`);
    if (verb === '%') return '%';
    if (next >= args.length) return `%!${verb}(MISSING)`;
    const value = args[next++]!;
    return formatted(verb, Number(digits ?? 6), value) ?? `%!${verb}(${typeName(value)}=${textOf(value)})`;
  });
  const extra = args.slice(next).map((value) => `${typeName(value)}=${textOf(value)}`);
  return extra.length === 0 ? text : `${text}%!(EXTRA ${extra.join(', ')})`;
}

const TYPES: Readonly<Record<string, string>> = {
  s: 'string',
  q: 'string',
  d: 'bigint',
  t: 'boolean',
  f: 'number',
};

/** Returns null if the verb does not fit the type of the value. */
function formatted(verb: string, digits: number, value: Value): string | null {
  if (verb !== 'v' && typeof value !== TYPES[verb]) return null;
  if (verb === 'q') return JSON.stringify(value);
  return verb === 'f' && Number.isFinite(value) ? toFixed(value as number, digits) : textOf(value);
}

/** Rounds a tie to the even digit. */
function toFixed(value: number, digits: number): string {
  const scaled = Math.abs(value) * 10 ** digits;
  const below = Math.floor(scaled);
  const isTie = scaled - below === 0.5 && below % 2 === 0;
  return (isTie ? Math.sign(value) * (below / 10 ** digits) : value).toFixed(digits);
}
