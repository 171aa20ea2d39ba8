import { type Comparison, type RunResult, RunSet } from './comparison.js';
import { perplexityAtTokensOfTraining } from './time-to-baseline.js';
import { BASELINE, VARIANTS, type VariantId } from './variants.js';

/** A router at one capacity: what is paid in perplexity for fewer tokens per expert. */
export interface FrontierPoint {
  readonly router: VariantId;
  /** Field of `moe:` and its value. */
  readonly capacity: string;
  /** Mean over the training. */
  readonly tokensPerExpert: number;
  /** Relative difference to the baseline at its own capacity; null without it. */
  readonly tokensVsBaseline: number | null;
  /** Perplexity with about as many tokens for an expert in validation as in training. */
  readonly perplexity: number;
  /** Perplexity under the causal rule, which is without drops where a router keeps who comes first. */
  readonly perplexityCausal: number;
}

/** Controls, by which tokens an expert sees: those of the line, and the end of it where nothing is dropped. */
export const CONTROLS = {
  random: ['locmoe-plus-random'],
  'first come': ['hash-first-come', 'hash'],
} as const satisfies Readonly<Record<string, readonly VariantId[]>>;
export type Control = keyof typeof CONTROLS;

/** All points, by router in report order and by tokens. */
export function frontierOf({ frontier }: Comparison): FrontierPoint[] {
  const runs = new RunSet(frontier);
  const baseline = runs.of(BASELINE).find(({ capacity }) => capacity === null);
  return runs.variants.flatMap((variant) =>
    runs
      .of(variant)
      .flatMap((run) => pointOf(run, baseline) ?? [])
      .sort((a, b) => a.tokensPerExpert - b.tokensPerExpert),
  );
}

function pointOf(run: RunResult, baseline: RunResult | undefined): FrontierPoint | null {
  const { variant, capacity, figures, byRule } = run;
  const perplexity = perplexityAtTokensOfTraining(run);
  if (perplexity === null || byRule === null) return null;
  const tokensPerExpert = figures.tokensPerExpertOfAllSteps;
  return {
    router: variant,
    capacity: capacity ?? ownCapacity(variant),
    tokensPerExpert,
    tokensVsBaseline:
      baseline === undefined ? null : tokensPerExpert / baseline.figures.tokensPerExpertOfAllSteps - 1,
    perplexity,
    perplexityCausal: Math.exp(byRule.causal.loss),
  };
}

/** Returns the capacity in the variant's settings; empty if it is the recipe's. */
function ownCapacity(variant: VariantId): string {
  const { capacities, sets } = VARIANTS[variant];
  const field = capacities?.[0]?.split('=')[0] ?? 'capacityFactor';
  return (
    sets.find((set) => set.startsWith(`moe.${field}=`))?.slice('moe.'.length) ?? `${field} of the recipe`
  );
}

export function controlLine(points: readonly FrontierPoint[], control: Control): FrontierPoint[] {
  const routers: readonly VariantId[] = CONTROLS[control];
  return points
    .filter(({ router }) => routers.includes(router))
    .sort((a, b) => a.tokensPerExpert - b.tokensPerExpert);
}

/**
 * Perplexity of a line at a number of tokens per expert: between two points by the straight line of the loss.
 *
 * @param line by tokens
 * @returns null outside the line
 */
export function perplexityAt(line: readonly FrontierPoint[], tokens: number): number | null {
  const above = line.findIndex(({ tokensPerExpert }) => tokensPerExpert >= tokens);
  if (above < 0) return null;
  const { tokensPerExpert, perplexity } = line[above]!;
  if (tokensPerExpert === tokens) return perplexity;
  if (above === 0) return null;
  const before = line[above - 1]!;
  const share = (tokens - before.tokensPerExpert) / (tokensPerExpert - before.tokensPerExpert);
  return Math.exp((1 - share) * Math.log(before.perplexity) + share * Math.log(perplexity));
}
