/** Returns the quantile, with linear interpolation between order statistics; NaN for an empty list. */
export function quantile(values: readonly number[], share: number): number {
  if (values.length === 0) return Number.NaN;
  const sorted = [...values].sort((a, b) => a - b);
  const position = share * (sorted.length - 1);
  const below = Math.floor(position);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below]! + (position - below) * (sorted[above]! - sorted[below]!);
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Returns the mean; NaN for an empty list. */
export function mean(values: readonly number[]): number {
  return sum(values) / values.length;
}

export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

export function spreadOf(values: readonly number[]): Spread {
  return { median: median(values), least: quantile(values, 0), most: quantile(values, 1) };
}

/** Formats the median, followed by the range in brackets if the given format shows a difference. */
export function withSpread({ median, least, most }: Spread, format: (value: number) => string): string {
  const [low, high] = [format(least), format(most)];
  return low === high ? format(median) : `${format(median)} (${low} to ${high})`;
}

/** Formats 0.1234 as "12.3 %". */
export function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

/** Formats 0.1234 as "+12.3 %". */
export function signedPercent(change: number): string {
  return `${change >= 0 ? '+' : ''}${percent(change)}`;
}

export function timeOf(call: () => void): number {
  const started = performance.now();
  call();
  return performance.now() - started;
}
