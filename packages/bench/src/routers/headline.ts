import type { Spread } from '../statistics.js';
import type { Comparison, FigureOf } from './comparison.js';
import { BASELINE, HEADLINE_CELL, type VariantId } from './jobs.js';
import type { RunFigures } from './run-figures.js';

/**
 * The file `routers.json`: medians over seeds, shares and ratios as fractions; null where a run is missing.
 */
export interface Headline {
  readonly allToAllShareOfBaselineStep: number | null;
  readonly locmoe: {
    readonly stepTimeVsHash: number | null;
    readonly stepTimeVsSwitch: number | null;
    readonly perplexityVsSwitch: number | null;
    /** Experts in use, in the layer that uses fewest. */
    readonly expertsUsed: number | null;
  };
  readonly locmoePlus: {
    readonly tokensPerExpertVsBaseline: number | null;
    readonly stepTimeVsBaseline: number | null;
    readonly stepTimeVsLocmoe: number | null;
    readonly perplexityVsBaseline: number | null;
  };
  readonly seeds: readonly number[];
  readonly machine: string;
  readonly command: string;
}

/** Headline figures with their range over seeds, keyed by path in `routers.json`. */
export type HeadlineSpreads = Readonly<Record<HeadlineKey, Spread | null>>;

export type HeadlineKey =
  | 'allToAllShareOfBaselineStep'
  | `locmoe.${Exclude<keyof Headline['locmoe'], symbol>}`
  | `locmoePlus.${Exclude<keyof Headline['locmoePlus'], symbol>}`;

export function headlineSpreads(comparison: Comparison): HeadlineSpreads {
  const stepTime = ({ stepMs }: RunFigures) => stepMs.median;
  const perplexity = (figures: RunFigures) => figures.perplexity;
  const ratio = (variant: VariantId, against: VariantId, of: FigureOf) =>
    comparison.ratio(HEADLINE_CELL, variant, against, of);
  return {
    allToAllShareOfBaselineStep: comparison.spread(
      HEADLINE_CELL,
      BASELINE,
      (figures) => figures.allToAllShare,
    ),
    'locmoe.stepTimeVsHash': ratio('locmoe', 'hash', stepTime),
    'locmoe.stepTimeVsSwitch': ratio('locmoe', 'switch', stepTime),
    'locmoe.perplexityVsSwitch': ratio('locmoe', 'switch', perplexity),
    'locmoe.expertsUsed': comparison.spread(HEADLINE_CELL, 'locmoe', ({ expertsUsed }) => expertsUsed),
    'locmoePlus.tokensPerExpertVsBaseline': ratio(
      'locmoe-plus',
      BASELINE,
      (figures) => figures.tokensPerExpert,
    ),
    'locmoePlus.stepTimeVsBaseline': ratio('locmoe-plus', BASELINE, stepTime),
    'locmoePlus.stepTimeVsLocmoe': ratio('locmoe-plus', 'locmoe', stepTime),
    'locmoePlus.perplexityVsBaseline': ratio('locmoe-plus', BASELINE, perplexity),
  };
}

export function headlineOf(
  comparison: Comparison,
  { machine, command }: { readonly machine: string; readonly command: string },
): Headline {
  const spreads = headlineSpreads(comparison);
  const value = (key: HeadlineKey) => {
    const spread = spreads[key];
    return spread === null || Number.isNaN(spread.median) ? null : Number(spread.median.toFixed(4));
  };
  const seeds = new Set(comparison.runsIn(HEADLINE_CELL).map(({ seed }) => seed));
  return {
    allToAllShareOfBaselineStep: value('allToAllShareOfBaselineStep'),
    locmoe: {
      stepTimeVsHash: value('locmoe.stepTimeVsHash'),
      stepTimeVsSwitch: value('locmoe.stepTimeVsSwitch'),
      perplexityVsSwitch: value('locmoe.perplexityVsSwitch'),
      expertsUsed: value('locmoe.expertsUsed'),
    },
    locmoePlus: {
      tokensPerExpertVsBaseline: value('locmoePlus.tokensPerExpertVsBaseline'),
      stepTimeVsBaseline: value('locmoePlus.stepTimeVsBaseline'),
      stepTimeVsLocmoe: value('locmoePlus.stepTimeVsLocmoe'),
      perplexityVsBaseline: value('locmoePlus.perplexityVsBaseline'),
    },
    seeds: [...seeds].sort((a, b) => a - b),
    machine,
    command,
  };
}
