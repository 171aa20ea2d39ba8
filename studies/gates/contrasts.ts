import { differenceOf, type Pair } from '@locmoe/bench/internal/pairs';
import { holm } from '@locmoe/bench/internal/student-t';
import type { Planned } from './design.js';
import { SIGNIFICANCE, testEquivalence, type Verdict, verdictOf } from './equivalence.js';
import type { Compared, Results } from './results.js';

/** The effect of an arm on a measure. */
export interface Change {
  readonly pairs: number;
  /** Number of pairs in which the arm does not reach the loss. */
  readonly unreached: number;
  /** Difference between the arms; null without pairs, or if the arm does not reach the loss in one of them. */
  readonly difference: ReturnType<typeof differenceOf>;
}

export function changeOf(pairs: readonly Pair[]): Change {
  const unreached = pairs.filter(({ own, other }) => !Number.isFinite(own / other)).length;
  return { pairs: pairs.length, unreached, difference: unreached === 0 ? differenceOf(pairs) : null };
}

/** A planned test with its result. */
export interface Contrast extends Planned, Change {
  /** Number of pairs of runs that were planned. */
  readonly planned: number;
  /** P value of the test; null until all pairs have run. */
  readonly p: number | null;
  readonly pHolm: number | null;
  /** `equal` and `shown` only if the corrected p is below 0.05; null until all pairs have run. */
  readonly verdict: Verdict | 'shown' | 'not met' | null;
}

/**
 * Runs the planned tests. A test waits for all its pairs, so that nobody stops at seeds with a pleasing
 * result; a waiting test still counts in the correction, with p = 1.
 */
export function contrastsOf({ contrasts, seeds }: Compared['design'], results: Results): Contrast[] {
  const planned = seeds.confirming.length;
  const tested = contrasts.map((contrast) => {
    const { question, arm, reference, measure, goal } = contrast;
    const pairs = results.pairs(question, arm, reference, measure);
    const change = changeOf(pairs);
    const isWhole = pairs.length === planned;
    const p = !isWhole
      ? null
      : change.difference === null
        ? 1
        : 'within' in goal
          ? testEquivalence(pairs, goal.within)!.p
          : (change.difference.test?.pBelow(Math.log1p(goal.atMost)) ?? null);
    return { ...contrast, ...change, planned, p };
  });
  const corrected = holm(tested.map(({ p }) => p ?? 1));
  return tested.map((contrast, i) => {
    const pHolm = contrast.p === null ? null : corrected[i]!;
    return { ...contrast, pHolm, verdict: pHolm === null ? null : verdict(contrast, pHolm) };
  });
}

function verdict(
  { goal, difference }: Pick<Contrast, 'goal' | 'difference'>,
  pHolm: number,
): Contrast['verdict'] {
  if (difference === null) return 'not met';
  if ('within' in goal) return verdictOf(pHolm, difference, goal.within);
  if (pHolm < SIGNIFICANCE) return 'shown';
  return difference.interval!.low > goal.atMost ? 'not met' : 'undecided';
}
