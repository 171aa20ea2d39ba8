import { percent, signedPercent, withSpread } from '../markdown.js';
import { PAPER_SHARE } from './calibration.js';
import { type Equivalence, MARGIN } from './equivalence.js';
import type { Findings, HeadlineKey } from './headline.js';
import type { TimeToBaseline } from './time-to-baseline.js';

/**
 * A result of LocMoE (arXiv 2401.13920) or LocMoE+ (arXiv 2406.00023), and whether ours reaches its best value.
 */
export interface PaperFigure {
  readonly what: string;
  readonly paper: string;
  /** Null where a run is missing. */
  readonly here: (findings: Findings, numExperts: number) => { text: string; reached: boolean } | null;
}

/** The best saving of time per epoch in LocMoE, and of step time in LocMoE+. */
const BEST_LOCMOE = -0.2224;
const BEST_LOCMOE_PLUS = -0.466;
/** Shares of the baseline's time to its own last perplexity, near those savings. */
const TIME_LOCMOE = 0.8;
const TIME_LOCMOE_PLUS = 0.6;

function figure(
  key: HeadlineKey,
  what: string,
  paper: string,
  format: (value: number, numExperts: number) => string,
  reached: (value: number, numExperts: number) => boolean,
): PaperFigure {
  return {
    what,
    paper,
    here({ spreads }, numExperts) {
      const spread = spreads[key];
      if (spread === null) return null;
      const text = withSpread(spread, (value) => format(value, numExperts));
      return { text, reached: reached(spread.median, numExperts) };
    },
  };
}

function change(key: HeadlineKey, what: string, paper: string, limit: number): PaperFigure {
  return figure(key, what, paper, signedPercent, (value) => value <= limit);
}

function equality(what: string, of: (findings: Findings) => Equivalence | undefined): PaperFigure {
  return {
    what,
    paper: `equal (here: within ${percent(MARGIN)}, p < 0.05)`,
    here(findings) {
      const tested = of(findings);
      if (tested === undefined) return null;
      const { meanDifference, p, pNotWorse, verdict } = tested;
      const notWorse = verdict === 'not worse' ? `; not worse by that: ${probability(pNotWorse)}` : '';
      return {
        text: `${signedPercent(meanDifference)}, ${probability(p)}${notWorse}`,
        reached: verdict === 'equal' || verdict === 'better',
      };
    },
  };
}

function time(
  of: (findings: Findings) => TimeToBaseline | undefined,
  what: string,
  paper: string,
  limit: number,
): PaperFigure {
  return {
    what,
    paper,
    here(findings) {
      const needed = of(findings);
      if (needed === undefined) return null;
      if (needed.tokens === null) return { text: 'does not get there', reached: false };
      return needed.time === null ? null : { text: needed.time.toFixed(2), reached: needed.time <= limit };
    },
  };
}

/** "p = 0.031" */
export function probability(p: number | null): string {
  if (p === null) return 'one seed';
  return p < 0.001 ? 'p < 0.001' : `p = ${p.toFixed(3)}`;
}

export const PAPER_FIGURES: readonly PaperFigure[] = [
  figure(
    'allToAllShareOfBaselineStep',
    "all-to-all's share of the baseline's step",
    '18.1 % (128 NPUs), 28.7 % (256 NPUs)',
    percent,
    (value) => value >= PAPER_SHARE.least && value <= PAPER_SHARE.most,
  ),
  change('locmoe.stepTimeVsHash', 'LocMoE: step time against hash', '-12.7 % to -22.2 %', BEST_LOCMOE),
  change('locmoe.stepTimeVsSwitch', 'LocMoE: step time against switch', '-12.7 % to -22.2 %', BEST_LOCMOE),
  equality('LocMoE: perplexity against hash', ({ equivalenceToHash }) => equivalenceToHash.locmoe),
  // PanGu-Sigma's hash routing (RRE), on which LocMoE builds, has level 1.
  equality(
    'LocMoE: perplexity against hash of both levels',
    ({ equivalenceToTwoLevelHash }) => equivalenceToTwoLevelHash.locmoe,
  ),
  equality('LocMoE: perplexity against switch', ({ equivalence }) => equivalence.locmoe),
  equality(
    'LocMoE: perplexity against switch as published',
    ({ equivalenceToPlain }) => equivalenceToPlain.locmoe,
  ),
  time(
    ({ timeToBaseline }) => timeToBaseline.locmoe,
    "LocMoE: time to switch's last perplexity",
    'at most 0.80 (by -22.2 % at equal quality)',
    TIME_LOCMOE,
  ),
  time(
    ({ timeToPlain }) => timeToPlain.locmoe,
    'LocMoE: time to that of switch as published',
    'at most 0.80 (by -22.2 % at equal quality)',
    TIME_LOCMOE,
  ),
  figure(
    'locmoe.expertsUsed',
    'LocMoE: experts used',
    'all (switch: 9 of 16)',
    (value, numExperts) => `${value} of ${numExperts}`,
    (value, numExperts) => value === numExperts,
  ),
  change(
    'locmoePlus.tokensPerExpertVsBaseline',
    'LocMoE+: tokens per expert against switch, mean over the training',
    'below -60 %',
    -0.6,
  ),
  change(
    'locmoePlus.tokensPerExpertVsBaselineLastQuarter',
    'LocMoE+: the same in its last quarter',
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
  equality('LocMoE+: perplexity against switch', ({ equivalence }) => equivalence['locmoe-plus']),
  equality(
    'LocMoE+: perplexity against switch as published',
    ({ equivalenceToPlain }) => equivalenceToPlain['locmoe-plus'],
  ),
  time(
    ({ timeToBaseline }) => timeToBaseline['locmoe-plus'],
    "LocMoE+: time to switch's last perplexity",
    'at most 0.60 (by -46.6 % at equal quality)',
    TIME_LOCMOE_PLUS,
  ),
  time(
    ({ timeToPlain }) => timeToPlain['locmoe-plus'],
    'LocMoE+: time to that of switch as published',
    'at most 0.60 (by -46.6 % at equal quality)',
    TIME_LOCMOE_PLUS,
  ),
];
