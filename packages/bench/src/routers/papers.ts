import { PAPER_SHARE } from './calibration.js';
import type { HeadlineKey } from './headline.js';

/**
 * A result of LocMoE (arXiv 2401.13920) or LocMoE+ (arXiv 2406.00023), and the test for whether ours reaches
 * its best value.
 */
export interface PaperFigure {
  readonly key: HeadlineKey;
  readonly what: string;
  readonly paper: string;
  readonly kind: 'change' | 'share' | 'count';
  readonly reached: (value: number, numExperts: number) => boolean;
}

/** Relative tolerance for equal perplexities. */
const EQUAL_PERPLEXITY = 0.01;
/** The best saving of time per epoch in LocMoE, and of step time in LocMoE+. */
const BEST_LOCMOE = -0.2224;
const BEST_LOCMOE_PLUS = -0.466;

function change(key: HeadlineKey, what: string, paper: string, limit: number): PaperFigure {
  return { key, what, paper, kind: 'change', reached: (value) => value <= limit };
}

export const PAPER_FIGURES: readonly PaperFigure[] = [
  {
    key: 'allToAllShareOfBaselineStep',
    what: "all-to-all's share of the baseline's step",
    paper: '18.1 % (128 NPUs), 28.7 % (256 NPUs)',
    kind: 'share',
    reached: (value) => value >= PAPER_SHARE.least && value <= PAPER_SHARE.most,
  },
  change('locmoe.stepTimeVsHash', 'LocMoE: step time against hash', '-12.7 % to -22.2 %', BEST_LOCMOE),
  change('locmoe.stepTimeVsSwitch', 'LocMoE: step time against switch', '-12.7 % to -22.2 %', BEST_LOCMOE),
  change('locmoe.perplexityVsSwitch', 'LocMoE: perplexity against switch', 'equal', EQUAL_PERPLEXITY),
  {
    key: 'locmoe.expertsUsed',
    what: 'LocMoE: experts used',
    paper: 'all (switch: 9 of 16)',
    kind: 'count',
    reached: (value, numExperts) => value === numExperts,
  },
  change(
    'locmoePlus.tokensPerExpertVsBaseline',
    'LocMoE+: tokens per expert against switch',
    'below -60 %',
    -0.6,
  ),
  change(
    'locmoePlus.stepTimeVsBaseline',
    'LocMoE+: step time against switch',
    '-5.4 % to -46.6 %',
    BEST_LOCMOE_PLUS,
  ),
  change('locmoePlus.stepTimeVsLocmoe', 'LocMoE+: step time against LocMoE', '-2.9 % to -13.3 %', -0.029),
  change('locmoePlus.perplexityVsBaseline', 'LocMoE+: perplexity against switch', 'equal', EQUAL_PERPLEXITY),
];
