import type { Spread } from '../statistics.js';
import type { Comparison, FigureOf, RunSet } from './comparison.js';
import { type Equivalence, testEquivalence } from './equivalence.js';
import { type FrontierPoint, frontierOf } from './frontier.js';
import { HEADLINE_CELL } from './jobs.js';
import { perplexityOf } from './perplexity.js';
import { type TimeToBaseline, timeToBaseline } from './time-to-baseline.js';
import { BASELINE, PLAIN_BASELINE, type VariantId } from './variants.js';

type Equivalences = Readonly<Partial<Record<VariantId, Omit<Equivalence, 'verdict'>>>>;

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
    /** Mean over the training, and over its last quarter. */
    readonly tokensPerExpertVsBaseline: number | null;
    readonly tokensPerExpertVsBaselineLastQuarter: number | null;
    readonly stepTimeVsBaseline: number | null;
    readonly stepTimeVsLocmoe: number | null;
    readonly perplexityVsBaseline: number | null;
  };
  /** Of the perplexity after the same tokens to the baseline's, that of switch as published, and those of hash. */
  readonly equivalence: Equivalences;
  readonly equivalenceToPlainSwitch: Equivalences;
  readonly equivalenceToHash: Equivalences;
  readonly equivalenceToTwoLevelHash: Equivalences;
  /** Share of the time of the baseline, and of switch as published; null where a router does not get there. */
  readonly timeToBaselinePerplexity: Readonly<Partial<Record<VariantId, number | null>>>;
  readonly timeToPlainSwitchPerplexity: Readonly<Partial<Record<VariantId, number | null>>>;
  /** In each quality run; null without one. */
  readonly tokensTrained: number | null;
  readonly frontier: readonly FrontierPoint[];
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

/** All that the report says of the comparison as a whole. */
export interface Findings {
  readonly spreads: HeadlineSpreads;
  readonly equivalence: Readonly<Partial<Record<VariantId, Equivalence>>>;
  readonly equivalenceToPlain: Readonly<Partial<Record<VariantId, Equivalence>>>;
  readonly equivalenceToHash: Readonly<Partial<Record<VariantId, Equivalence>>>;
  readonly equivalenceToTwoLevelHash: Readonly<Partial<Record<VariantId, Equivalence>>>;
  readonly timeToBaseline: Readonly<Partial<Record<VariantId, TimeToBaseline>>>;
  readonly timeToPlain: Readonly<Partial<Record<VariantId, TimeToBaseline>>>;
  readonly frontier: readonly FrontierPoint[];
}

export function findingsOf(comparison: Comparison): Findings {
  const { quality } = comparison;
  return {
    spreads: headlineSpreads(comparison),
    equivalence: equivalencesTo(quality, BASELINE),
    equivalenceToPlain: equivalencesTo(quality, PLAIN_BASELINE),
    equivalenceToHash: equivalencesTo(quality, 'hash'),
    equivalenceToTwoLevelHash: equivalencesTo(quality, 'hash-two-level'),
    timeToBaseline: timesTo(comparison, BASELINE),
    timeToPlain: timesTo(comparison, PLAIN_BASELINE),
    frontier: frontierOf(comparison),
  };
}

function timesTo(comparison: Comparison, reference: VariantId): Partial<Record<VariantId, TimeToBaseline>> {
  const { quality } = comparison;
  if (quality.of(reference).length === 0) return {};
  return Object.fromEntries(
    quality.variants.map((variant) => [variant, timeToBaseline(comparison, variant, reference)]),
  );
}

function equivalencesTo(quality: RunSet, reference: VariantId): Partial<Record<VariantId, Equivalence>> {
  return Object.fromEntries(
    quality.variants.flatMap((variant) => {
      if (variant === reference) return [];
      const tested = testEquivalence(quality.pairs(variant, reference, perplexityOf));
      return tested === null ? [] : [[variant, tested]];
    }),
  );
}

function headlineSpreads(comparison: Comparison): HeadlineSpreads {
  const { quality } = comparison;
  const time = comparison.in(HEADLINE_CELL);
  const stepTime: FigureOf = ({ figures }) => figures.stepMs.median;
  return {
    allToAllShareOfBaselineStep: time.spread(BASELINE, ({ figures }) => figures.allToAllShare),
    'locmoe.stepTimeVsHash': time.ratio('locmoe', 'hash', stepTime),
    'locmoe.stepTimeVsSwitch': time.ratio('locmoe', 'switch', stepTime),
    'locmoe.perplexityVsSwitch': quality.ratio('locmoe', 'switch', perplexityOf),
    'locmoe.expertsUsed': quality.spread('locmoe', ({ figures }) => figures.expertsUsed),
    'locmoePlus.tokensPerExpertVsBaseline': quality.ratio(
      'locmoe-plus',
      BASELINE,
      ({ figures }) => figures.tokensPerExpertOfAllSteps,
    ),
    'locmoePlus.tokensPerExpertVsBaselineLastQuarter': quality.ratio(
      'locmoe-plus',
      BASELINE,
      ({ figures }) => figures.tokensPerExpertOfLastQuarter,
    ),
    'locmoePlus.stepTimeVsBaseline': time.ratio('locmoe-plus', BASELINE, stepTime),
    'locmoePlus.stepTimeVsLocmoe': time.ratio('locmoe-plus', 'locmoe', stepTime),
    'locmoePlus.perplexityVsBaseline': quality.ratio('locmoe-plus', BASELINE, perplexityOf),
  };
}

export function headlineOf(
  comparison: Comparison,
  findings: Findings,
  { machine, command }: { readonly machine: string; readonly command: string },
): Headline {
  const value = (key: HeadlineKey) => rounded(findings.spreads[key]?.median ?? null);
  const { quality } = comparison;
  const compared = [...quality.runs, ...comparison.in(HEADLINE_CELL).runs];
  const seeds = new Set(compared.map(({ seed }) => seed));
  const [run] = quality.runs;
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
      tokensPerExpertVsBaselineLastQuarter: value('locmoePlus.tokensPerExpertVsBaselineLastQuarter'),
      stepTimeVsBaseline: value('locmoePlus.stepTimeVsBaseline'),
      stepTimeVsLocmoe: value('locmoePlus.stepTimeVsLocmoe'),
      perplexityVsBaseline: value('locmoePlus.perplexityVsBaseline'),
    },
    equivalence: inJson(findings.equivalence),
    equivalenceToPlainSwitch: inJson(findings.equivalenceToPlain),
    equivalenceToHash: inJson(findings.equivalenceToHash),
    equivalenceToTwoLevelHash: inJson(findings.equivalenceToTwoLevelHash),
    timeToBaselinePerplexity: mapped(findings.timeToBaseline, ({ time }) => rounded(time)),
    timeToPlainSwitchPerplexity: mapped(findings.timeToPlain, ({ time }) => rounded(time)),
    tokensTrained: run === undefined ? null : run.figures.steps * run.figures.tokensPerStep,
    frontier: findings.frontier.map((point) => ({
      ...point,
      tokensPerExpert: rounded(point.tokensPerExpert)!,
      tokensVsBaseline: rounded(point.tokensVsBaseline),
      perplexity: rounded(point.perplexity)!,
      perplexityCausal: rounded(point.perplexityCausal)!,
    })),
    seeds: [...seeds].sort((a, b) => a - b),
    machine,
    command,
  };
}

function inJson(equivalences: Findings['equivalence']): Equivalences {
  const threeDigits = (p: number | null) => (p === null ? null : Number(p.toPrecision(3)));
  return mapped(equivalences, ({ margin, p, pNotWorse, meanDifference }) => ({
    margin,
    p: threeDigits(p),
    pNotWorse: threeDigits(pNotWorse),
    meanDifference: rounded(meanDifference)!,
  }));
}

function mapped<From, To>(
  by: Readonly<Partial<Record<VariantId, From>>>,
  to: (value: From) => To,
): Partial<Record<VariantId, To>> {
  return Object.fromEntries(Object.entries(by).map(([variant, value]) => [variant, to(value)]));
}

/** To four digits after the point; null for NaN. */
function rounded(value: number | null): number | null {
  return value === null || Number.isNaN(value) ? null : Number(value.toFixed(4));
}
