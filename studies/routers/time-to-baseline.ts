import type { Comparison } from './comparison.js';
import { HEADLINE_CELL } from './jobs.js';
import { stepsToReach } from './perplexity.js';
import { BASELINE, VARIANTS, type VariantId } from './variants.js';

/** Steps and time that a router needs to reach the last perplexity of a reference, as shares of what that needs. */
export interface TimeToBaseline {
  /** Median over seeds; null if it does not get there in most of them, or is validated without the drops of its training. */
  readonly tokens: number | null;
  /** Ratio of step times in the headline cell; null without time runs. */
  readonly stepTime: number | null;
  /** The product. */
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
