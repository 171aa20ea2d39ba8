import { TrainerError } from 'locmoe/internal/errors';

export interface Link {
  readonly bytesPerS: number;
  readonly latencyS: number;
}

const BITS_PER_S: Readonly<Record<string, number>> = { kbps: 1e3, mbps: 1e6, gbps: 1e9, tbps: 1e12 };
const SECONDS: Readonly<Record<string, number>> = { ns: 1e-9, us: 1e-6, ms: 1e-3, s: 1 };

/**
 * Parses `100gbps,5us`: rate in bits per second, then one-way latency.
 *
 * @param option name of the option, for messages
 * @throws TrainerError `BAD_INPUT` naming the invalid part
 */
export function parseLink(text: string, option = '--link'): Link {
  const parts = text.split(',');
  const refuse = (what: string) =>
    new TrainerError('BAD_INPUT', `${option} ${text}: ${what}; write rate and latency as in 100gbps,5us`);
  if (parts.length !== 2) throw refuse(`${parts.length} part${parts.length === 1 ? '' : 's'} instead of two`);
  const [rate, latency] = parts.map((part) => part.trim().toLowerCase()) as [string, string];
  const bitsPerS = quantity(rate, BITS_PER_S);
  if (bitsPerS === null || bitsPerS <= 0)
    throw refuse(`'${rate}' is no rate above zero in ${Object.keys(BITS_PER_S).join(', ')}`);
  const latencyS = quantity(latency, SECONDS);
  if (latencyS === null) throw refuse(`'${latency}' is no latency in ${Object.keys(SECONDS).join(', ')}`);
  return { bytesPerS: bitsPerS / 8, latencyS };
}

/** Parses a number with a unit into the base unit; null if malformed. */
function quantity(text: string, units: Readonly<Record<string, number>>): number | null {
  const match = /^(\d+(?:\.\d+)?)([a-z]+)$/.exec(text);
  if (match === null || !Object.hasOwn(units, match[2]!)) return null;
  return Number(match[1]) * units[match[2]!]!;
}

/** Formats a link; the inverse of `parseLink`. */
export function formatLink({ bytesPerS, latencyS }: Link): string {
  return `${inUnit(8 * bytesPerS, BITS_PER_S)},${inUnit(latencyS, SECONDS)}`;
}

/** Formats a value in the largest unit that makes it at least one, with three digits. */
function inUnit(value: number, units: Readonly<Record<string, number>>): string {
  const [unit, size] =
    Object.entries(units)
      .sort(([, a], [, b]) => b - a)
      .find(([, each]) => value >= each) ?? Object.entries(units)[0]!;
  return `${Number((value / size).toPrecision(3))}${unit}`;
}
