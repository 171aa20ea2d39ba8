import type { Interval } from 'locmoe/internal/evaluation/statistics';
import { mean, signedPercent } from './statistics.js';
import { type MeanTest, testMean } from './student-t.js';

/** A figure of two arms with the same seed. */
export interface Pair {
  readonly own: number;
  readonly other: number;
}

/** Difference between two arms over the seeds, as fractions: -0.22 is 22 % less. */
export interface Difference {
  /** The geometric mean of the ratios, minus 1. */
  readonly meanDifference: number;
  /** 95 % interval, by Student's t on the logarithms of the ratios; null with fewer than two pairs. */
  readonly interval: Interval | null;
}

/** @returns null without pairs */
export function differenceOf(
  pairs: readonly Pair[],
): (Difference & { readonly test: MeanTest | null }) | null {
  if (pairs.length === 0) return null;
  const logs = pairs.map(({ own, other }) => Math.log(own / other));
  const test = testMean(logs);
  return {
    meanDifference: Math.expm1(mean(logs)),
    interval: test && { low: Math.expm1(test.interval.low), high: Math.expm1(test.interval.high) },
    test,
  };
}

/** Formats a difference as "-0.5 % (-2.1 % to +1.0 %)". */
export function withInterval({ meanDifference, interval }: Difference): string {
  const change = signedPercent(meanDifference);
  return interval === null
    ? `${change} (one seed)`
    : `${change} (${signedPercent(interval.low)} to ${signedPercent(interval.high)})`;
}
