import type { Calibration } from './calibration.js';
import { Comparison, type RunResult, type RunSet } from './comparison.js';
import type { CostRow } from './cost.js';
import { type Difference, type Equivalence, testEquivalence } from './equivalence.js';
import { type FrontierPoint, frontierOf } from './frontier.js';
import { HEADLINE_CELL, type Kind } from './jobs.js';
import { type Contrast, contrastsOf } from './papers.js';
import { perplexityOf } from './perplexity.js';
import { type TimeToBaseline, timeToBaseline } from './time-to-baseline.js';
import { BASELINE, PLAIN_BASELINE, type VariantId } from './variants.js';

type Equivalences = Readonly<Partial<Record<VariantId, Omit<Equivalence, 'verdict'>>>>;

/** A finished run with the digest of all that its figures depend on. */
export interface KeptRun extends RunResult {
  readonly key: string;
}

/** All that the page is made of, beside what is found in it. */
export interface Measured {
  /** Recipe or config file. */
  readonly recipe: string;
  readonly numExperts: number;
  /** Dense model that the models of the runs for quality grew from; null if they began at random. */
  readonly dense: { readonly runId: string; readonly tokens: number } | null;
  /** Null as long as no link was searched. */
  readonly calibration: Calibration | null;
  readonly cost: readonly CostRow[];
  /** Runs of the complete comparison, by kind. */
  readonly planned: Readonly<Partial<Record<Kind, number>>>;
  readonly runs: readonly KeptRun[];
}

/**
 * Shares and ratios as fractions, of several seeds the median where nothing else is said; null where a run is missing.
 * Routers are named by the id of their variant.
 */
export interface Figures extends Measured {
  readonly allToAllShareOfBaselineStep: number | null;
  readonly locmoePlus: {
    /** Mean over the training; an input of the comparison. */
    readonly tokensPerExpertVsBaseline: number | null;
  };
  /** The planned contrasts with their verdicts. */
  readonly contrasts: readonly Contrast[];
  /** Ratios of the perplexity after the same tokens to the baseline's, that of switch as published, and those of hash. */
  readonly equivalence: Equivalences;
  readonly equivalenceToPlainSwitch: Equivalences;
  readonly equivalenceToHash: Equivalences;
  readonly equivalenceToTwoLevelHash: Equivalences;
  /** Share of the time of the baseline, and of switch as published; null where a router does not get there. */
  readonly timeToBaselinePerplexity: Readonly<Partial<Record<VariantId, number | null>>>;
  readonly timeToPlainSwitchPerplexity: Readonly<Partial<Record<VariantId, number | null>>>;
  /** Tokens of each quality run; null if there is none. */
  readonly tokensTrained: number | null;
  readonly frontier: readonly FrontierPoint[];
  readonly seeds: readonly number[];
}

/** All that the report says of the comparison as a whole. */
export interface Findings {
  readonly contrasts: readonly Contrast[];
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
    contrasts: contrastsOf(comparison),
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

export function figuresOf(measured: Measured): Figures {
  const comparison = new Comparison(measured.runs);
  const findings = findingsOf(comparison);
  const { quality } = comparison;
  const time = comparison.in(HEADLINE_CELL);
  const compared = [...quality.runs, ...time.runs];
  const seeds = new Set(compared.map(({ seed }) => seed));
  const [run] = quality.runs;
  return {
    allToAllShareOfBaselineStep: rounded(
      time.spread(BASELINE, ({ figures }) => figures.allToAllShare)?.median ?? null,
    ),
    locmoePlus: {
      tokensPerExpertVsBaseline: rounded(
        quality.ratio('locmoe-plus', BASELINE, ({ figures }) => figures.tokensPerExpertOfAllSteps)?.median ??
          null,
      ),
    },
    contrasts: findings.contrasts.map(({ difference, p, pHolm, ...contrast }) => ({
      ...contrast,
      difference: difference && roundedDifference(difference),
      p: threeDigits(p),
      pHolm: threeDigits(pHolm),
    })),
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
    ...measured,
  };
}

function inJson(equivalences: Findings['equivalence']): Equivalences {
  return mapped(equivalences, ({ margin, p, ...difference }) => ({
    margin,
    p: threeDigits(p),
    ...roundedDifference(difference),
  }));
}

function roundedDifference({ meanDifference, interval }: Difference): Difference {
  return {
    meanDifference: rounded(meanDifference)!,
    interval: interval && { low: rounded(interval.low)!, high: rounded(interval.high)! },
  };
}

function threeDigits(p: number | null): number | null {
  return p === null ? null : Number(p.toPrecision(3));
}

function mapped<From, To>(
  by: Readonly<Partial<Record<VariantId, From>>>,
  to: (value: From) => To,
): Partial<Record<VariantId, To>> {
  return Object.fromEntries(Object.entries(by).map(([variant, value]) => [variant, to(value)]));
}

/** Rounds to four digits after the point; null for NaN. */
function rounded(value: number | null): number | null {
  return value === null || Number.isNaN(value) ? null : Number(value.toFixed(4));
}
