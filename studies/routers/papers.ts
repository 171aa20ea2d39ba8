import { withSpread } from '../../packages/bench/src/statistics.js';
import { readYaml } from '../kit/read-yaml.js';
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
import { perplexityOf } from './time-to-baseline.js';
import { BASELINE, labelOf, type VariantId } from './variants.js';

/** A planned contrast of two routers, with the figure that a paper reports. */
interface Planned {
  readonly variant: VariantId;
  readonly reference: VariantId;
  readonly measure: 'step time' | 'perplexity';
  readonly paper: string;
  /** Equality within the margin, or a change that is at most this; null for a control, which has nothing to reach. */
  readonly goal: 'equal' | number | null;
}

const PLANNED = readYaml<readonly Planned[]>('routers/contrasts.yaml');

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
export function setFigures(comparison: Comparison, numExperts: number) {
  const { quality } = comparison;
  const share = comparison.in(HEADLINE_CELL).spread(BASELINE, ({ figures }) => figures.allToAllShare);
  const used = quality.spread('locmoe', ({ figures }) => figures.expertsUsed);
  const tokens = quality.ratio('locmoe-plus', BASELINE, ({ figures }) => figures.tokensPerExpertOfAllSteps);
  return {
    setShare: share ? withSpread(share, percent) : 'no run',
    setUsed: used ? withSpread(used, (value) => `${value} of ${numExperts}`) : 'no run',
    setTokens: tokens ? withSpread(tokens, signedPercent) : 'no run',
  };
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
