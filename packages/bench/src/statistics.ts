import { regularizedIncompleteBeta } from 'locmoe/routing/special-functions';

/** Quantile with linear interpolation between order statistics; NaN for an empty list. */
export function quantile(values: readonly number[], share: number): number {
  if (values.length === 0) return Number.NaN;
  const sorted = [...values].sort((a, b) => a - b);
  const position = share * (sorted.length - 1);
  const below = Math.floor(position);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (position - below) * (sorted[above] - sorted[below]);
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** NaN for an empty list. */
export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Median, minimum and maximum. */
export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

export function spreadOf(values: readonly number[]): Spread {
  return { median: median(values), least: quantile(values, 0), most: quantile(values, 1) };
}

/**
 * Student's paired t-test: the probability of a mean difference as far from 0 as this one if pairs do not differ.
 *
 * @returns null for fewer than two differences
 */
export function pairedTTest(differences: readonly number[]): number | null {
  const n = differences.length;
  if (n < 2) return null;
  const average = mean(differences);
  if (average === 0) return 1;
  const freedom = n - 1;
  const variance = differences.reduce((sum, each) => sum + (each - average) ** 2, 0) / freedom;
  // 2 P(T > t) is I_x(freedom / 2, 1 / 2) with x = freedom / (freedom + t^2).
  const scaled = freedom * variance;
  return regularizedIncompleteBeta(scaled / (scaled + n * average ** 2), freedom / 2, 1 / 2);
}
