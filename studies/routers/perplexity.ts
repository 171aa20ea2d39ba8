import type { ValidationPoint } from '../../packages/bench/src/routers/run-figures.js';
import type { RunResult } from './comparison.js';
import { VARIANTS } from './variants.js';

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
