import { CounterRandom } from '../parameters/counter-random.js';
import { regularizedIncompleteBeta } from '../routing/capacity/special-functions.js';

/** A mean with its standard error. */
export interface Score {
  readonly value: number;
  /** Null for a single value. */
  readonly stderr: number | null;
  readonly n: number;
}

/**
 * Returns the mean over all values. Its standard error comes from the sample variance within each group, pooled by
 * size, as lm-evaluation-harness computes it for groups of tasks.
 *
 * @param groups values by group; no group is empty
 */
export function scoreOf(groups: readonly (readonly number[])[]): Score {
  const n = groups.reduce((count, values) => count + values.length, 0);
  const value = groups.reduce((sum, values) => sum + total(values), 0) / n;
  const squares = groups.reduce((sum, values) => {
    const mean = total(values) / values.length;
    return sum + total(values.map((each) => (each - mean) ** 2));
  }, 0);
  const freedom = n - groups.length;
  return { value, stderr: freedom === 0 ? null : Math.sqrt(squares / freedom / n), n };
}

export function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

/**
 * Does McNemar's exact test of paired answers: returns the probability of a split at least this uneven of the questions
 * that only one model answers correctly, if both models are equally good.
 */
export function mcNemar(onlyA: number, onlyB: number): number {
  const n = onlyA + onlyB;
  const more = Math.max(onlyA, onlyB);
  // P(X >= k) of a binomial distribution with p = 1/2 is I_{1/2}(k, n - k + 1).
  return n === 0 ? 1 : Math.min(1, 2 * regularizedIncompleteBeta(0.5, more, n - more + 1));
}

export interface Interval {
  readonly low: number;
  readonly high: number;
}

const RESAMPLES = 10_000;
const TAIL = 0.025;

/**
 * Returns 95 % intervals of mean differences by a paired bootstrap: questions are drawn with replacement, 10,000 times,
 * the same ones for every row.
 *
 * @param rows differences by question; all of the same length
 */
export function bootstrapIntervals(rows: readonly (readonly number[])[], seed: number): Interval[] {
  const random = new CounterRandom(seed, 'bootstrap');
  const n = rows[0]?.length ?? 0;
  const means = rows.map(() => new Float64Array(RESAMPLES));
  let draw = 0;
  for (let resample = 0; resample < RESAMPLES; resample++)
    for (let k = 0; k < n; k++) {
      const question = Math.floor(random.uniform(draw++) * n);
      for (let row = 0; row < rows.length; row++) means[row]![resample]! += rows[row]![question]! / n;
    }
  return means.map((values) => {
    const sorted = values.toSorted();
    const at = (share: number) => sorted[Math.min(RESAMPLES - 1, Math.floor(share * RESAMPLES))]!;
    return { low: at(TAIL), high: at(1 - TAIL) };
  });
}

/** Returns the index of the greatest value; on a tie, the first one. */
export function indexOfMost(values: readonly number[]): number {
  return values.indexOf(Math.max(...values));
}
