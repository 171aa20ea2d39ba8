import { JsonError, JsonScanner } from '../json-scanner.js';
import { parseBytes, parseLineDurationS } from '../units.js';
import type { Arguments } from './arguments.js';
import { atLeast, type CallContext, exactly, type TemplateFunction } from './call-context.js';
import { sprintf } from './printf.js';
import { isTrue, textOf, type Value } from './values.js';

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
