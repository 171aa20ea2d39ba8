import { withSpread } from '../../packages/bench/src/statistics.js';
import { holm } from '../kit/student-t.js';
import { percent, signedPercent, table } from '../kit/text.js';
import type { Comparison, FigureOf } from './comparison.js';
import {
  type Difference,
  differenceOf,
  MARGIN,
  SIGNIFICANCE,
  testEquivalence,
  type Verdict,
  verdictOf,
} from './equivalence.js';
import { HEADLINE_CELL } from './jobs.js';
import { perplexityOf } from './perplexity.js';
import { BASELINE, labelOf, type VariantId } from './variants.js';

const MEASURES = ['step time', 'perplexity'] as const;

/** A planned contrast of two routers, with the figure that LocMoE (arXiv 2401.13920) or LocMoE+ (2406.00023) reports. */
interface Planned {
  readonly variant: VariantId;
  readonly reference: VariantId;
  readonly measure: (typeof MEASURES)[number];
  readonly paper: string;
  /** Equality within the margin, or a change that is at most this; null for a control, which has nothing to reach. */
  readonly goal: 'equal' | number | null;
}

const LEVEL_1 = 'control: level 1 without a gate';
const HASH_CONVERGES = 'hash converges better';

/**
 * Each figure stands beside the counterpart that its paper has: LocMoE takes 12.68 % off hash routing and 22.24 % off switch.
 * Where LocMoE+ reports a range over clusters, the goal is its near end.
 */
const PLANNED: readonly Planned[] = [
  contrast('locmoe', 'hash', 'step time', '-12.68 %', -0.1268),
  contrast('locmoe', 'switch', 'step time', '-22.24 %', -0.2224),
  contrast('hash-two-level', 'hash', 'step time', LEVEL_1, null),
  contrast('hash-two-level', 'switch', 'step time', LEVEL_1, null),
  contrast('locmoe', 'hash-two-level', 'step time', LEVEL_1, null),
  contrast('locmoe', 'hash', 'perplexity', HASH_CONVERGES, 'equal'),
  contrast('locmoe', 'hash-two-level', 'perplexity', HASH_CONVERGES, 'equal'),
  contrast('locmoe', 'switch', 'perplexity', 'switch converges worse early on', 'equal'),
  contrast('locmoe-plus', 'switch', 'step time', 'LocMoE+: -5.4 % to -46.6 %', -0.054),
  contrast('locmoe-plus', 'locmoe', 'step time', 'LocMoE+: -2.9 % to -13.3 %', -0.029),
  contrast('locmoe-plus', 'hash-two-level', 'step time', LEVEL_1, null),
  contrast('locmoe-plus', 'switch', 'perplexity', 'LocMoE+: unchanged convergence', 'equal'),
];

function contrast(
  variant: VariantId,
  reference: VariantId,
  measure: Planned['measure'],
  paper: string,
  goal: Planned['goal'],
): Planned {
  return { variant, reference, measure, paper, goal };
}

const FIGURES: Readonly<Record<Planned['measure'], FigureOf>> = {
  'step time': ({ figures }) => figures.stepMs.median,
  perplexity: perplexityOf,
};

/** A planned contrast with what came out; of the goals together, Holm's correction keeps the chance of a false one at 5 %. */
export interface Contrast extends Planned {
  /** Null where a run is missing. */
  readonly difference: Difference | null;
  /** The p-value of the goal's test; null without a goal, and with fewer than two seeds. */
  readonly p: number | null;
  readonly pHolm: number | null;
  /** Null without a goal or a run. `shown` and `equal` only if the corrected p is below 0.05. */
  readonly verdict: Verdict | 'shown' | 'not met' | null;
}

export function contrastsOf(comparison: Comparison): Contrast[] {
  const time = comparison.in(HEADLINE_CELL);
  const tested = PLANNED.map((planned) => {
    const { variant, reference, measure, goal } = planned;
    const runs = measure === 'perplexity' ? comparison.quality : time;
    const pairs = runs.pairs(variant, reference, FIGURES[measure]);
    const found = differenceOf(pairs);
    if (found === null) return { ...planned, difference: null, p: null };
    const { test, ...difference } = found;
    if (test === null || goal === null) return { ...planned, difference, p: null };
    const p = goal === 'equal' ? testEquivalence(pairs)!.p : test.pBelow(Math.log1p(goal));
    return { ...planned, difference, p };
  });
  const corrected = holm(tested.flatMap(({ p }) => p ?? []));
  return tested.map((contrast) => {
    const pHolm = contrast.p === null ? null : corrected.shift()!;
    return { ...contrast, pHolm, verdict: verdict(contrast, pHolm) };
  });
}

function verdict(
  { goal, difference }: Omit<Contrast, 'pHolm' | 'verdict'>,
  pHolm: number | null,
): Contrast['verdict'] {
  if (goal === null || difference === null) return null;
  if (goal === 'equal') return verdictOf(pHolm, difference, MARGIN);
  if (pHolm === null) return 'undecided';
  if (pHolm < SIGNIFICANCE) return 'shown';
  return difference.interval!.low > goal ? 'not met' : 'undecided';
}

/** Figures that the settings of the comparison decide, so that they are no findings. */
export function setFigureTable(comparison: Comparison, numExperts: number): string {
  const { quality } = comparison;
  const time = comparison.in(HEADLINE_CELL);
  const share = time.spread(BASELINE, ({ figures }) => figures.allToAllShare);
  const used = quality.spread('locmoe', ({ figures }) => figures.expertsUsed);
  const tokens = quality.ratio('locmoe-plus', BASELINE, ({ figures }) => figures.tokensPerExpertOfAllSteps);
  const row = (what: string, paper: string, here: string | null, setBy: string) => [
    what,
    paper,
    here ?? 'no run',
    setBy,
  ];
  return table([
    ['figure', 'papers', 'here: median (least to most)', 'decided by'],
    row(
      `all-to-all's share of a step of ${labelOf(BASELINE)}`,
      '18.1 % (128 NPUs), 28.7 % (256 NPUs)',
      share && withSpread(share, percent),
      'the link, which is set for it',
    ),
    row(
      `${labelOf('locmoe')}: experts used`,
      'all (switch: 9 of 16)',
      used && withSpread(used, (value) => `${value} of ${numExperts}`),
      'the preferences, which give each expert about as many token ids',
    ),
    row(
      `${labelOf('locmoe-plus')}: tokens per expert against ${labelOf(BASELINE)}`,
      '-60 % (version 1), -40 % (version 2 and later), by a capacity that falls',
      tokens && withSpread(tokens, signedPercent),
      '`moe.capacityFactor=0.37`, fixed',
    ),
  ]);
}

/** "p = 0.031" */
export function probability(p: number | null): string {
  if (p === null) return 'one seed';
  return p < 0.001 ? 'p < 0.001' : `p = ${p.toFixed(3)}`;
}

/** "-0.5 % (-2.1 % to +1.0 %)" */
export function withInterval({ meanDifference, interval }: Difference): string {
  const change = signedPercent(meanDifference);
  return interval === null
    ? `${change} (one seed)`
    : `${change} (${signedPercent(interval.low)} to ${signedPercent(interval.high)})`;
}

export function contrastTable(contrasts: readonly Contrast[]): string {
  const pCell = (p: number | null) => (p === null ? '' : p < 0.001 ? '< 0.001' : p.toFixed(3));
  return table([
    ['contrast', 'papers', 'here: mean change (95 % interval)', 'tested', 'p', 'p (Holm)', 'verdict'],
    ...contrasts.map(({ variant, reference, measure, paper, goal, difference, p, pHolm, verdict }) => [
      `${labelOf(variant)}: ${measure} against ${labelOf(reference)}`,
      paper,
      difference === null ? 'no run' : withInterval(difference),
      goal === null
        ? ''
        : goal === 'equal'
          ? `equal within ${percent(MARGIN)}`
          : `at most ${Number((100 * goal).toFixed(2))} %`,
      pCell(p),
      pCell(pHolm),
      verdict ?? '',
    ]),
  ]);
}
