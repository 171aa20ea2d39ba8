import { type Difference, differenceOf, type Pair } from '@locmoe/bench/internal/pairs';

export const SIGNIFICANCE = 0.05;

/**
 * `equal` only if the test of equivalence rejects; `not equal` if the 95 % interval lies entirely beyond the margin, on
 * the side of the difference. All else is `undecided`, including arms that are certainly not worse, or not better.
 */
export type Verdict = 'equal' | 'not equal' | 'undecided';

export interface Equivalence extends Difference {
  /** The larger p value of the two one-sided tests: below 0.05 the arms are equal. Null with fewer than two pairs. */
  readonly p: number | null;
  readonly verdict: Verdict;
}

/**
 * Performs two one-sided t-tests (TOST; Schuirmann 1987) on the logarithms of the ratios of n pairs, with n - 1 degrees
 * of freedom: is the mean above -ln(1 + margin), and is it below ln(1 + margin)? Unlike a test that fails to find a
 * difference, this one can say "equal" only if there are enough seeds, close enough to each other.
 *
 * @returns null without pairs
 */
export function testEquivalence(pairs: readonly Pair[], margin: number): Equivalence | null {
  const difference = differenceOf(pairs);
  if (difference === null) return null;
  const { test, ...rest } = difference;
  const limit = Math.log1p(margin);
  const p = test && Math.max(test.pAbove(-limit), test.pBelow(limit));
  return { p, ...rest, verdict: verdictOf(p, rest, margin) };
}

/** @param p p value of the test of equivalence, as it is or corrected for other tests */
export function verdictOf(
  p: number | null,
  { interval }: Pick<Difference, 'interval'>,
  margin: number,
): Verdict {
  if (p === null || interval === null) return 'undecided';
  if (p < SIGNIFICANCE) return 'equal';
  // The limits are symmetric in the logarithm.
  return interval.low > margin || interval.high < 1 / (1 + margin) - 1 ? 'not equal' : 'undecided';
}
