import { JsonError, JsonScanner } from '../json-scanner.js';
import { parseBytes, parseLineDurationS } from '../units.js';
import { type Arguments, atLeast, type CallContext, exactly, type TemplateFunction } from './arguments.js';
import { exponential, floatText, isTrue, TemplateError, textOf, typeName, type Value } from './values.js';

const MAX_CHARACTERS = 1 << 20;

/** A function of one text. */
const ofText = (change: (text: string) => string) => exactly(1, (args) => change(args.string(0)));
/** A function of an argument and a text, which comes last so that it can be piped in. */
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
  repeat: exactly(2, (args) => {
    const [count, text] = [Math.max(0, args.int(0)), args.string(1)];
    if (count * text.length > MAX_CHARACTERS) throw args.fail('the result is too long');
    return text.repeat(count);
  }),
  indent: exactly(2, indented),
  nindent: exactly(2, (args) => `\n${indented(args)}`),
  alignLeft: withCount((width, text) => aligned(width, text, true)),
  alignRight: withCount((width, text) => aligned(width, text, false)),
  default: exactly(2, ({ all }) => (isTrue(all[1]!) ? all[1]! : all[0]!)),
  print: atLeast(0, ({ all }) => printed(all)),
  println: atLeast(0, ({ all }) => `${all.map(textOf).join(' ')}\n`),
  printf: atLeast(1, (args) => sprintf(args.string(0), args.all.slice(1))),
  fromJson: ofJson(),
  b64enc: ofText((text) => Buffer.from(text).toString('base64')),
  b64dec: ofText((text) => Buffer.from(text, 'base64').toString()),
  urlencode: ofText((text) =>
    encodeURIComponent(Buffer.from(text).toString())
      .replace(/%20/g, '+')
      .replace(/[!'()*]/g, (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`),
  ),
  urldecode: exactly(1, (args) => {
    try {
      return decodeURIComponent(args.string(0).replaceAll('+', ' '));
    } catch {
      throw args.fail('invalid URL escape');
    }
  }),
  bytes: exactly(1, (args) => numberOf(args, 'bytes', parseBytes)),
  duration: exactly(1, (args) => numberOf(args, 'duration', parseLineDurationS)),
  duration_seconds: exactly(1, (args) => numberOf(args, 'duration', parseLineDurationS)),
  count: exactly(2, (args, context) =>
    BigInt(regexOf(args, 0, args.string(1), context).count(args.string(1))),
  ),
  regexReplaceAll: exactly(3, (args, context) => regexReplaced(args, context, false)),
  regexReplaceAllLiteral: exactly(3, (args, context) => regexReplaced(args, context, true)),
  // Older names, which take the text first.
  ToLower: ofText((text) => text.toLowerCase()),
  ToUpper: ofText((text) => text.toUpperCase()),
  Trim: withText((text, characters) => trimStart(characters, trimEnd(characters, text))),
  TrimLeft: withText((text, characters) => trimStart(characters, text)),
  TrimRight: withText((text, characters) => trimEnd(characters, text)),
  TrimPrefix: withText((text, prefix) => (text.startsWith(prefix) ? text.slice(prefix.length) : text)),
  TrimSuffix: withText((text, suffix) =>
    text.endsWith(suffix) ? text.slice(0, -suffix.length || undefined) : text,
  ),
  TrimSpace: ofText((text) => text.trim()),
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

function indented(args: Arguments): string {
  const [spaces, lines] = [Math.max(0, args.int(0)), args.string(1).split('\n')];
  if (spaces * lines.length > MAX_CHARACTERS) throw args.fail('the result is too long');
  const padding = ' '.repeat(spaces);
  return lines.map((line) => padding + line).join('\n');
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

/** Joins values like Go's Sprint, with a space between two neither of which is a text. */
function printed(values: readonly Value[]): string {
  const isText = (value: Value) => typeof value === 'string';
  return values
    .map((value, i) => (i > 0 && !isText(value) && !isText(values[i - 1]!) ? ' ' : '') + textOf(value))
    .join('');
}

/** A text that is no JSON decodes to nil. */
function ofJson(): TemplateFunction {
  return exactly(1, (args) => {
    try {
      return decoded(new JsonScanner(args.string(0)), 0);
    } catch (error) {
      if (!(error instanceof JsonError)) throw error;
      return null;
    }
  });
}

const MAX_DEPTH = 100;

function decoded(json: JsonScanner, depth: number): Value {
  if (depth > MAX_DEPTH) throw new JsonError('nested too deeply');
  const { next } = json;
  if (next === '{') {
    const object = new Map<string, Value>();
    json.object((key) => object.set(key, decoded(json, depth + 1)));
    return object;
  }
  if (next === '[') {
    const array: Value[] = [];
    json.array(() => array.push(decoded(json, depth + 1)));
    return array;
  }
  const text = json.value();
  return next === '"' ? text : (JSON.parse(text) as Value);
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

const MAX_WIDTH = 10_000;
const VERB = /%([-+# 0]*)(\d*)(?:\.(\d*))?(.|$)/gsu;

/** Go's `Sprintf`, without argument indexes and `*`. */
function sprintf(format: string, args: readonly Value[]): string {
  let next = 0;
  const text = format.replace(
    VERB,
    (_, flags: string, width: string, precision: string | undefined, verb) => {
      if (verb === '%') return '%';
      if (verb === '') return '%!(NOVERB)';
      if (next >= args.length) return `%!${verb}(MISSING)`;
      if (Number(width) > MAX_WIDTH || Number(precision) > MAX_WIDTH)
        throw new TemplateError(`printf: a width above ${MAX_WIDTH}`);
      const value = args[next++]!;
      const digits = precision === undefined ? null : Number(precision);
      const formatted = format1(verb, flags, digits, value);
      if (formatted === null) return `%!${verb}(${typeName(value)}=${textOf(value)})`;
      return pad(formatted, flags, Number(width), typeof value === 'bigint' || typeof value === 'number');
    },
  );
  const extra = args.slice(next).map((value) => `${typeName(value)}=${textOf(value)}`);
  return extra.length === 0 ? text : `${text}%!(EXTRA ${extra.join(', ')})`;
}

/** Null for a verb that the value does not take. */
function format1(verb: string, flags: string, digits: number | null, value: Value): string | null {
  if (verb === 'v') return typeof value === 'number' ? signed(floatText(value), flags) : textOf(value);
  if (verb === 'T') return typeName(value);
  if (typeof value === 'string') return formatString(verb, digits, value);
  if (typeof value === 'bigint') return formatInt(verb, flags, value);
  if (typeof value === 'number') return formatFloat(verb, flags, digits, value);
  if (typeof value === 'boolean') return verb === 't' ? String(value) : null;
  return verb === 's' ? textOf(value) : null;
}

function formatString(verb: string, digits: number | null, value: string): string | null {
  const text = digits === null ? value : [...value].slice(0, digits).join('');
  if (verb === 's') return text;
  if (verb === 'q') return JSON.stringify(text);
  if (verb !== 'x' && verb !== 'X') return null;
  const hex = Buffer.from(text).toString('hex');
  return verb === 'x' ? hex : hex.toUpperCase();
}

const BASES: Readonly<Record<string, number>> = { d: 10, b: 2, o: 8, x: 16, X: 16 };

function formatInt(verb: string, flags: string, value: bigint): string | null {
  if (verb === 'c') return value >= 0n && value <= 0x10ffffn ? String.fromCodePoint(Number(value)) : '\ufffd';
  if (!Object.hasOwn(BASES, verb)) return null;
  const text = value.toString(BASES[verb]);
  return signed(verb === 'X' ? text.toUpperCase() : text, flags);
}

function formatFloat(verb: string, flags: string, digits: number | null, value: number): string | null {
  if (!/^[eEfFgG]$/.test(verb)) return null;
  if (!Number.isFinite(value)) return signed(floatText(value), flags);
  const least = Math.min(digits ?? 6, 100);
  let text: string;
  if (/[fF]/.test(verb)) text = toFixed(value, least);
  else if (/[eE]/.test(verb)) text = exponential(value.toExponential(least));
  else text = digits === null ? floatText(value) : exponential(String(Number(value.toPrecision(least || 1))));
  return signed(/[EG]/.test(verb) ? text.toUpperCase() : text, flags);
}

/** A value half way between two goes to the even one. */
function toFixed(value: number, digits: number): string {
  const scaled = Math.abs(value) * 10 ** digits;
  const below = Math.floor(scaled);
  const isTie = scaled - below === 0.5 && below % 2 === 0;
  return (isTie ? Math.sign(value) * (below / 10 ** digits) : value).toFixed(digits);
}

function signed(text: string, flags: string): string {
  if (/^[+-]/.test(text)) return text;
  return `${flags.includes('+') ? '+' : flags.includes(' ') ? ' ' : ''}${text}`;
}

function pad(text: string, flags: string, width: number, isNumber: boolean): string {
  const missing = width - [...text].length;
  if (missing <= 0) return text;
  if (flags.includes('-')) return text + ' '.repeat(missing);
  if (!flags.includes('0') || !isNumber) return ' '.repeat(missing) + text;
  const sign = /^[+-]/.exec(text)?.[0] ?? '';
  return sign + '0'.repeat(missing) + text.slice(sign.length);
}
