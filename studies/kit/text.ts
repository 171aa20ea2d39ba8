import type { Spread } from '../../packages/bench/src/statistics.js';

export { table } from '../../packages/bench/src/markdown.js';

/** 0.1234 -> "12.3 %" */
export function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

/** 0.1234 -> "+12.3 %" */
export function signedPercent(change: number): string {
  return `${change >= 0 ? '+' : ''}${percent(change)}`;
}

/** The median, with the range in brackets where it is visible in the given format. */
export function withSpread({ median, least, most }: Spread, format: (value: number) => string): string {
  const [low, high] = [format(least), format(most)];
  return low === high ? format(median) : `${format(median)} (${low} to ${high})`;
}

/** 0.0123 -> "+0.012", and nothing like "-0.000". */
export function signed(value: number, digits: number): string {
  const rounded = value.toFixed(digits);
  if (Number(rounded) === 0) return (0).toFixed(digits);
  return value > 0 ? `+${rounded}` : rounded;
}
