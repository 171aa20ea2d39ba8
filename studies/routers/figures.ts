import type { Calibration } from './calibration.js';
import { Comparison, type RunResult, type RunSet } from './comparison.js';
import type { CostRow } from './cost.js';
import { type Difference, type Equivalence, testEquivalence } from './equivalence.js';
import { type FrontierPoint, frontierOf } from './frontier.js';
import { HEADLINE_CELL, type Kind } from './jobs.js';
import { type Contrast, contrastsOf } from './papers.js';
import { perplexityOf, type TimeToBaseline, timeToBaseline } from './time-to-baseline.js';
import { BASELINE, LEVEL_1_CONTROL, PLAIN_BASELINE, type VariantId } from './variants.js';

/** Routers whose perplexity after the same tokens the others are held against, by the name of the ratios. */
export const EQUAL_TO = {
  equivalence: BASELINE,
  equivalenceToPlainSwitch: PLAIN_BASELINE,
  equivalenceToHash: 'hash',
  equivalenceToTwoLevelHash: LEVEL_1_CONTROL,
} as const satisfies Readonly<Record<string, VariantId>>;
/** Routers whose last perplexity the others are to reach, by the name of the shares of the time that these take. */
const TIME_TO = {
  timeToBaselinePerplexity: BASELINE,
  timeToPlainSwitchPerplexity: PLAIN_BASELINE,
} as const satisfies Readonly<Record<string, VariantId>>;

type ByVariant<Value> = Readonly<Partial<Record<VariantId, Value>>>;
type Equivalences = Readonly<Record<keyof typeof EQUAL_TO, ByVariant<Omit<Equivalence, 'verdict'>>>>;
/** Null where a router does not get there. */
type Times = Readonly<Record<keyof typeof TIME_TO, ByVariant<number | null>>>;

/** A finished run with the digest of all that its figures depend on. */
export interface KeptRun extends RunResult {
  readonly key: string;
}

/** All that the page is made of, beside what is found in it. */
export interface Measured {
  readonly recipe: string;
  readonly numExperts: number;
  /** Dense model that the models of the runs for quality grew from; null if they began at random. */
  readonly dense: { readonly runId: string; readonly tokens: number } | null;
  readonly calibration: Calibration | null;
  readonly cost: readonly CostRow[];
  readonly planned: Readonly<Partial<Record<Kind, number>>>;
  readonly runs: readonly KeptRun[];
}

/**
 * Shares and ratios as fractions, of several seeds the median where nothing else is said; null where a run is missing.
 * Routers are named by the id of their variant.
 */
export interface Figures extends Measured, Equivalences, Times {
  readonly allToAllShareOfBaselineStep: number | null;
  readonly locmoePlus: {
    /** Mean over the training; an input of the comparison. */
    readonly tokensPerExpertVsBaseline: number | null;
  };
  readonly contrasts: readonly Contrast[];
  /** Tokens of each quality run; null if there is none. */
  readonly tokensTrained: number | null;
  readonly frontier: readonly FrontierPoint[];
  readonly seeds: readonly number[];
}

/** All that the report says of the comparison as a whole. */
export interface Findings {
  readonly contrasts: readonly Contrast[];
  readonly equality: Readonly<Record<keyof typeof EQUAL_TO, ByVariant<Equivalence>>>;
  readonly times: Readonly<Record<keyof typeof TIME_TO, ByVariant<TimeToBaseline>>>;
  readonly frontier: readonly FrontierPoint[];
}

export function findingsOf(comparison: Comparison): Findings {
  const { quality } = comparison;
  return {
    contrasts: contrastsOf(comparison),
    equality: mapped(EQUAL_TO, (reference) => equivalencesTo(quality, reference)),
    times: mapped(TIME_TO, (reference) => timesTo(comparison, reference)),
    frontier: frontierOf(comparison),
  };
}

function timesTo(comparison: Comparison, reference: VariantId): ByVariant<TimeToBaseline> {
  const { quality } = comparison;
  if (quality.of(reference).length === 0) return {};
  return Object.fromEntries(
    quality.variants.map((variant) => [variant, timeToBaseline(comparison, variant, reference)]),
  );
}

function equivalencesTo(quality: RunSet, reference: VariantId): ByVariant<Equivalence> {
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
    ...mapped(findings.equality, (equivalences) =>
      mapped(equivalences, ({ margin, p, meanDifference, interval }) => ({
        margin,
        p: threeDigits(p),
        ...roundedDifference({ meanDifference, interval }),
      })),
    ),
    ...mapped(findings.times, (times) => mapped(times, ({ time }) => rounded(time))),
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

function roundedDifference({ meanDifference, interval }: Difference): Difference {
  return {
    meanDifference: rounded(meanDifference)!,
    interval: interval && { low: rounded(interval.low)!, high: rounded(interval.high)! },
  };
}

function threeDigits(p: number | null): number | null {
  return p === null ? null : Number(p.toPrecision(3));
}

function mapped<Name extends string, From, To>(
  by: Readonly<Partial<Record<Name, From>>>,
  to: (value: From) => To,
): Record<Name, To> {
  return Object.fromEntries(Object.entries(by).map(([name, value]) => [name, to(value as From)])) as Record<
    Name,
    To
  >;
}

/** Rounds to four digits after the point; null for NaN. */
function rounded(value: number | null): number | null {
  return value === null || Number.isNaN(value) ? null : Number(value.toFixed(4));
}
