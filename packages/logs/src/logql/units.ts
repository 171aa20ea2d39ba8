const NANOSECONDS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
  d: 86_400e9,
  w: 7 * 86_400e9,
  y: 365 * 86_400e9,
};
const MAX_CHARACTERS = 100;

/**
 * Parses a duration in a query, such as `1h30m`, `1.5s`, `2d` or 0, to seconds; NaN for anything else,
 * including other numbers without a unit.
 */
export function parseDurationS(text: string): number {
  return parseUnits(text, /(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|[smhdwy])/g);
}

/** Parses a duration in a line to seconds. As in Go, there are no days, weeks and years. */
export function parseLineDurationS(text: string): number {
  return parseUnits(text, /(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|[smh])/g);
}

function parseUnits(text: string, part: RegExp): number {
  const unsigned = text.replace(/^[+-]/, '');
  if (unsigned === '0') return 0;
  if (unsigned === '' || unsigned.length > MAX_CHARACTERS || unsigned.replace(part, '') !== '')
    return Number.NaN;
  // Sums whole nanoseconds first, as in Go: 21.5ms is 0.0215 s, not 0.021500000000000002.
  let ns = 0;
  for (const [, amount, unit] of unsigned.matchAll(part)) ns += Number(amount) * NANOSECONDS[unit!]!;
  const whole = Math.round(ns);
  const seconds = Math.floor(whole / 1e9) + (whole % 1e9) / 1e9;
  return text.startsWith('-') ? -seconds : seconds;
}

const PREFIXES = ['', 'k', 'm', 'g', 't', 'p', 'e'];

/** Parses `2KB` (1000), `2KiB` (1024), `512B` or `2,048` to whole bytes; NaN for anything else. */
export function parseBytes(text: string): number {
  const parts = /^([\d.,]+)\s*([kmgtpe]?)(i?)b?$/i.exec(text.slice(0, MAX_CHARACTERS).trim());
  if (parts === null) return Number.NaN;
  const [, amount = '', prefix = '', binary] = parts;
  const bytes =
    Number(amount.replaceAll(',', '') || 'none') *
    (binary === '' ? 1000 : 1024) ** PREFIXES.indexOf(prefix.toLowerCase());
  return Math.floor(bytes);
}

const DECIMAL = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;
const HEXADECIMAL = /^([+-]?)0x([0-9a-f]*)\.?([0-9a-f]*)p([+-]?\d+)$/i;

/** Parses Go's float syntax, including `1_000`, `+Inf`, `NaN` and `0x1p-2`; null for anything else. */
export function parseNumber(text: string): number | null {
  const digits = text.replace(/(?<=\d)_(?=\d)/g, '');
  if (DECIMAL.test(digits)) return Number(digits);
  if (/^[+-]?inf(inity)?$/i.test(text))
    return text.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  if (/^nan$/i.test(text)) return Number.NaN;
  const [, sign, whole = '', fraction = '', exponent] = HEXADECIMAL.exec(text) ?? [];
  if (!whole && !fraction) return null;
  const mantissa = Number.parseInt(whole + fraction, 16);
  return (sign === '-' ? -1 : 1) * mantissa * 2 ** (Number(exponent) - 4 * fraction.length);
}
