import { mean } from '../statistics.js';
import { studentTAbove } from '../student-t.js';

/** Relative difference of perplexity within which two routers count as equal. */
export const MARGIN = 0.01;
export const SIGNIFICANCE = 0.05;

/** Perplexities of two routers with the same seed. */
export interface Pair {
  readonly own: number;
  readonly other: number;
}

/** `better` and `worse` are by more than the margin; `not worse` is equal or better, undecided which. */
export type Verdict = 'equal' | 'better' | 'worse' | 'not worse' | 'undecided';

export interface Equivalence {
  readonly margin: number;
  /** The larger one of the two one-sided tests: below 0.05 the routers are equal. Null with fewer than two pairs. */
  readonly p: number | null;
  /** The one of the two that tests whether it is worse by the margin (non-inferiority); null with fewer than two pairs. */
  readonly pNotWorse: number | null;
  /** Of perplexity, as a fraction: the geometric mean of the ratios, less 1. */
  readonly meanDifference: number;
  readonly verdict: Verdict;
}

/**
 * Two one-sided t-tests (Schuirmann 1987) on the logarithms of the ratios of n pairs, with n - 1 degrees of freedom: is
 * the mean above -ln(1 + margin), and is it below ln(1 + margin)? Unlike a test that finds no difference, this one
 * can only say "equal" if there are seeds enough, and close enough.
 *
 * @returns null without pairs
 */
export function testEquivalence(pairs: readonly Pair[], margin = MARGIN): Equivalence | null {
  if (pairs.length === 0) return null;
  const logs = pairs.map(({ own, other }) => Math.log(own / other));
  const average = mean(logs);
  const meanDifference = Math.expm1(average);
  if (logs.length === 1) return { margin, p: null, pNotWorse: null, meanDifference, verdict: 'undecided' };
  const limit = Math.log1p(margin);
  const variance = logs.reduce((sum, each) => sum + (each - average) ** 2, 0) / (logs.length - 1);
  const standardError = Math.sqrt(variance / logs.length);
  /** P value of the test whether `value` is above 0, by as much as it is. */
  const isAbove = (value: number) => studentTAbove(value === 0 ? 0 : value / standardError, logs.length - 1);
  const pNotWorse = isAbove(limit - average);
  const p = Math.max(isAbove(average + limit), pNotWorse);
  return { margin, p, pNotWorse, meanDifference, verdict: verdict() };

  function verdict(): Verdict {
    if (p < SIGNIFICANCE) return 'equal';
    if (isAbove(-limit - average) < SIGNIFICANCE) return 'better';
    if (pNotWorse < SIGNIFICANCE) return 'not worse';
    return isAbove(average - limit) < SIGNIFICANCE ? 'worse' : 'undecided';
  }
}
