import { exponential, floatText, TemplateError, textOf, typeName, type Value } from './values.js';

const MAX_WIDTH = 10_000;
const VERB = /%([-+# 0]*)(\d*)(?:\.(\d*))?(.|$)/gsu;

/** Go's `Sprintf`, without argument indexes and `*`. */
export function sprintf(format: string, args: readonly Value[]): string {
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
