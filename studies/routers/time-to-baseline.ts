import type { ValidationPoint } from '../../packages/bench/src/routers/run-figures.js';
import type { Comparison, RunResult } from './comparison.js';
import { HEADLINE_CELL } from './jobs.js';
import { BASELINE, VARIANTS, type VariantId } from './variants.js';

/**
 * Perplexity after the last step, over the validation text of all domains, as routers are compared by it. It is that of the
 * causal rule, except for a router of which drops are the point and which drops nobody outside training: a control of
 * 40 % of the tokens would else be validated with all. Who comes first knows nothing of later tokens, so its rule of training looks
 * ahead no more than the causal one.
 */
export function perplexityOf({ variant, figures, byRule }: RunResult): number | null {
  if (!VARIANTS[variant].validatedWithDrops) return figures.perplexity;
  return byRule === null ? null : Math.exp(byRule.training.loss);
}

/** Perplexity with about as many tokens for an expert as in training, whatever the capacity; null if not known. */
export function perplexityAtTokensOfTraining({ variant, byRule }: RunResult): number | null {
  if (byRule === null) return null;
  return Math.exp(VARIANTS[variant].keeps === 'threshold' ? byRule.causal.loss : byRule.training.loss);
}

/**
 * The step at which a curve first comes down to a perplexity, between validations by the straight line of the loss.
 *
 * @returns the step of the first validation if that is low enough already, Infinity if none is
 */
export function stepsToReach(curve: readonly ValidationPoint[], perplexity: number): number {
  const reached = curve.findIndex((point) => point.perplexity <= perplexity);
  if (reached < 0) return Number.POSITIVE_INFINITY;
  if (reached === 0) return curve[0]!.step;
  const [before, after] = [curve[reached - 1]!, curve[reached]!];
  const share = Math.log(before.perplexity / perplexity) / Math.log(before.perplexity / after.perplexity);
  return before.step + share * (after.step - before.step);
}

/** Steps and time that a router needs to reach the last perplexity of a reference, as shares of what that needs. */
export interface TimeToBaseline {
  /** Median over seeds; null if it does not get there in most of them, or is validated without the drops of its training. */
  readonly tokens: number | null;
  /** Ratio of step times in the headline cell; null without time runs. */
  readonly stepTime: number | null;
  readonly time: number | null;
}

export function timeToBaseline(
  comparison: Comparison,
  variant: VariantId,
  reference: VariantId = BASELINE,
): TimeToBaseline {
  const tokens = tokensToReach(comparison, variant, reference);
  const change = comparison
    .in(HEADLINE_CELL)
    .ratio(variant, reference, ({ figures }) => figures.stepMs.median);
  const stepTime = change === null ? null : 1 + change.median;
  return { tokens, stepTime, time: tokens === null || stepTime === null ? null : tokens * stepTime };
}

function tokensToReach({ quality }: Comparison, variant: VariantId, reference: VariantId): number | null {
  if (VARIANTS[variant].validatedWithDrops) return null;
  const baselines = new Map(quality.of(reference).map(({ seed, figures }) => [seed, figures]));
  const shares = quality.of(variant).flatMap(({ seed, figures }) => {
    const baseline = baselines.get(seed);
    if (baseline === undefined) return [];
    const { perplexity, validations } = baseline;
    return [stepsToReach(figures.validations, perplexity) / stepsToReach(validations, perplexity)];
  });
  // The median of an even number of seeds is the larger one of the two in the middle, as one may never get there.
  const middle = [...shares].sort((a, b) => a - b)[Math.floor(shares.length / 2)]!;
  return Number.isFinite(middle) ? middle : null;
}
