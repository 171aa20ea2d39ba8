import { regularizedIncompleteBeta } from 'locmoe/internal/routing/capacity/special-functions';
import { mean } from './statistics.js';

/** Returns P(T > t) of Student's t distribution (Abramowitz and Stegun 26.7.1). */
export function studentTAbove(t: number, degreesOfFreedom: number): number {
  const bothTails = regularizedIncompleteBeta(
    degreesOfFreedom / (degreesOfFreedom + t * t),
    degreesOfFreedom / 2,
    0.5,
  );
  return t >= 0 ? bothTails / 2 : 1 - bothTails / 2;
}

/** Returns the t that is exceeded with this probability, which is below one half; by bisection, to 12 digits. */
export function studentTQuantile(above: number, degreesOfFreedom: number): number {
  let [low, high] = [0, 1];
  while (studentTAbove(high, degreesOfFreedom) > above) high *= 2;
  while (high - low > 1e-12 * high) {
    const middle = (low + high) / 2;
    if (studentTAbove(middle, degreesOfFreedom) > above) low = middle;
    else high = middle;
  }
  return high;
}

/** The mean of a sample, with Student's t-tests of it. */
export interface MeanTest {
  readonly mean: number;
  /** 95 % interval of the mean. */
  readonly interval: { readonly low: number; readonly high: number };
  /** P value of the one-sided test against a true mean of at least `limit`; small where the mean is below it. */
  readonly pBelow: (limit: number) => number;
  readonly pAbove: (limit: number) => number;
}

/** @returns null for fewer than two values, from which no spread can be estimated */
export function testMean(values: readonly number[]): MeanTest | null {
  if (values.length < 2) return null;
  const average = mean(values);
  const freedom = values.length - 1;
  const variance = values.reduce((sum, each) => sum + (each - average) ** 2, 0) / freedom;
  const standardError = Math.sqrt(variance / values.length);
  const reach = studentTQuantile(0.025, freedom) * standardError;
  /** Returns the P value for a distance in the direction of the alternative. */
  const pOf = (distance: number) => studentTAbove(distance === 0 ? 0 : distance / standardError, freedom);
  return {
    mean: average,
    interval: { low: average - reach, high: average + reach },
    pBelow: (limit) => pOf(limit - average),
    pAbove: (limit) => pOf(average - limit),
  };
}

/**
 * Corrects P values by Holm's method for several tests (Holm 1979), in the order of the tests: all claims
 * whose corrected value is below a level hold together at that level.
 */
export function holm(pValues: readonly number[]): number[] {
  const order = pValues.map((_, i) => i).sort((a, b) => pValues[a]! - pValues[b]!);
  const corrected = Array<number>(pValues.length);
  let largest = 0;
  for (const [rank, i] of order.entries()) {
    largest = Math.max(largest, Math.min(1, pValues[i]! * (pValues.length - rank)));
    corrected[i] = largest;
  }
  return corrected;
}
