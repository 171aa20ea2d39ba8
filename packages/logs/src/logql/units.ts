const SECONDS: Readonly<Record<string, number>> = {
  ns: 1e-9,
  us: 1e-6,
  µs: 1e-6,
  ms: 1e-3,
  s: 1,
  m: 60,
  h: 3600,
  d: 86_400,
  w: 7 * 86_400,
  y: 365 * 86_400,
};

/** Parses `1h30m`, `1.5s`, `200ms` or 0 to seconds; NaN for anything else, also for a bare number. */
export function parseDurationS(text: string): number {
  const sign = text.startsWith('-') ? -1 : 1;
  const unsigned = text.replace(/^[+-]/, '');
  if (unsigned === '0') return 0;
  if (unsigned.length > 100 || !/^(?:\d+(?:\.\d*)?(?:ns|us|µs|ms|[smhdwy]))+$/.test(unsigned))
    return Number.NaN;
  let seconds = 0;
  for (const [, amount, unit] of unsigned.matchAll(/(\d+(?:\.\d*)?)(ns|us|µs|ms|[smhdwy])/g))
    seconds += Number(amount) * SECONDS[unit];
  return sign * seconds;
}

const PREFIXES = ['', 'k', 'm', 'g', 't', 'p', 'e'];

/** Parses `2KB` (1000), `2KiB` (1024), `512B` or a bare number to bytes; NaN for anything else. */
export function parseBytes(text: string): number {
  const parts = /^(\d+(?:\.\d*)?) ?([kmgtpe]?)(i?)b?$/i.exec(text.slice(0, 100));
  if (parts === null) return Number.NaN;
  const [, amount, prefix, binary] = parts;
  return Number(amount) * (binary === '' ? 1000 : 1024) ** PREFIXES.indexOf(prefix.toLowerCase());
}

/** Parses Go's float syntax, including `+Inf` and `NaN`; null for anything else. */
export function parseNumber(text: string): number | null {
  const trimmed = text.trim();
  if (/^[+-]?inf(inity)?$/i.test(trimmed))
    return trimmed.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  if (/^nan$/i.test(trimmed)) return Number.NaN;
  const value = trimmed === '' ? Number.NaN : Number(trimmed);
  return Number.isNaN(value) ? null : value;
}
