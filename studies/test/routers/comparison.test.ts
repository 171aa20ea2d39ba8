import { describe, expect, it } from 'vitest';
import { Comparison, type RunResult } from '../../routers/comparison.js';
import { figuresOf } from '../../routers/figures.js';
import { HEADLINE_CELL } from '../../routers/jobs.js';
import { VARIANT_IDS, type VariantId } from '../../routers/variants.js';
import { cellOfRuns, qualityJob, qualityRuns, runResult, timeJob } from './support.js';

const STEP_MS: Readonly<Partial<Record<VariantId, number>>> = {
  hash: 110,
  switch: 100,
  locmoe: 80,
  'locmoe-plus': 60,
  'locmoe-plus-tcr': 70,
  'locmoe-plus-ecr': 65,
};
const timing = (median: number) => ({ stepMs: { median, p10: median, p90: median } });
const NOTHING_ELSE = {
  recipe: 'routers-large',
  numExperts: 4,
  dense: null,
  calibration: null,
  cost: [],
  planned: {},
};

describe('Comparison', () => {
  // Seed 3 ran during a slowdown that affects both routers; paired ratios are unaffected.
  const comparison = new Comparison(
    (
      [
        [1, 100, 80],
        [2, 102, 76.5],
        [3, 300, 210],
      ] as const
    ).flatMap(([seed, baseline, locmoe]) => [
      runResult(timeJob(HEADLINE_CELL, 'switch', seed), timing(baseline)),
      runResult(timeJob(HEADLINE_CELL, 'locmoe', seed), timing(locmoe)),
    ]),
  );

  it('takes quality from quick runs of one cell', () => {
    const cells = [
      HEADLINE_CELL,
      { layout: '2x2', placement: 'domain' },
      { layout: '2x1', placement: 'mixed' },
    ] as const;
    const quick = cells.map((cell) =>
      runResult({ ...timeJob(cell, 'switch', 1), kind: 'quick' }, timing(100)),
    );
    expect(new Comparison(quick).quality.of('switch')).toEqual([quick[0]]);
    expect(new Comparison(quick).frontier).toEqual([quick[0]]);
    expect(new Comparison(quick.slice(1)).quality.of('switch')).toEqual([quick[1]]);
    expect(new Comparison(quick).cells).toHaveLength(3);
  });

  it('pairs runs of the same seed', () => {
    const ratio = comparison
      .in(HEADLINE_CELL)
      .ratio('locmoe', 'switch', ({ figures }) => figures.stepMs.median);
    expect(ratio!.median).toBeCloseTo(-0.25, 12);
    expect(ratio!.least).toBeCloseTo(-0.3, 12);
    expect(ratio!.most).toBeCloseTo(-0.2, 12);
  });

  it('has no figure of a run that was not made', () => {
    const runs = comparison.in(HEADLINE_CELL);
    expect(runs.ratio('hash', 'switch', ({ figures }) => figures.stepMs.median)).toBeNull();
    expect(runs.pairs('locmoe', 'hash', ({ figures }) => figures.stepMs.median)).toEqual([]);
    expect(runs.spread('locmoe', () => null)).toBeNull();
    const other = { layout: '4x1', placement: 'mixed' } as const;
    expect(comparison.in(other).spread('switch', ({ figures }) => figures.stepMs.median)).toBeNull();
  });

  it('keeps apart what runs are for', () => {
    const quick = { ...timeJob(HEADLINE_CELL, 'switch', 1), kind: 'quick' } as const;
    const { quality, frontier, cells } = new Comparison([
      runResult(qualityJob('switch', 1), {}),
      runResult(qualityJob('switch', 2), {}),
      runResult(qualityJob('switch', 1, 'capacityFactor=0.6'), {}),
      runResult(timeJob({ layout: '4x1', placement: 'mixed' }, 'switch', 1), {}),
      runResult({ ...quick, variant: 'hash' }, {}),
    ]);
    expect(quality.runs.map(({ variant, kind, seed }) => `${variant} ${kind} ${seed}`)).toEqual([
      ...['switch quality 1', 'switch quality 2', 'hash quick 1'],
    ]);
    expect(quality.variants).toEqual(['hash', 'switch']);
    expect(frontier.map(({ capacity }) => capacity)).toEqual([null, 'capacityFactor=0.6', null]);
    expect(cells.map(({ layout }) => layout)).toEqual(['4x1', '2x1']);
  });
});

describe('figuresOf', () => {
  const timed = cellOfRuns(HEADLINE_CELL, (variant, seed) => ({
    ...timing((STEP_MS[variant] ?? 90) * seed),
    allToAllShare: 0.2 + seed / 100,
  }));
  const learned = qualityRuns((variant, seed) => ({
    tokensPerExpertOfAllSteps: variant === 'locmoe-plus' ? 30 : 100,
    tokensPerExpertOfLastQuarter: variant === 'locmoe-plus' ? 20 : 100,
    perplexity: { switch: 50, 'switch-plain': 55, 'hash-two-level': 55 }[variant as string] ?? 49.5,
    expertsUsed: seed,
  }));
  const elsewhere = cellOfRuns({ layout: '4x1', placement: 'mixed' }, () => timing(1));
  const headlineOfAll = (runs: readonly RunResult[]) => {
    const kept = runs.map((run) => ({ ...run, key: 'a digest' }));
    const { runs: _, ...headline } = figuresOf({ ...NOTHING_ELSE, runs: kept });
    return headline;
  };

  it('has exactly these figures, as fractions', () => {
    const headline = headlineOfAll([...elsewhere, ...timed, ...learned]);
    const { equivalence, equivalenceToPlainSwitch, equivalenceToHash, equivalenceToTwoLevelHash, ...others } =
      headline;
    const { timeToBaselinePerplexity, timeToPlainSwitchPerplexity, frontier, ...figures } = others;
    expect(figures).toEqual({
      allToAllShareOfBaselineStep: 0.22,
      locmoePlus: { tokensPerExpertVsBaseline: -0.7 },
      contrasts: expect.any(Array),
      tokensTrained: 20 * 64,
      seeds: [1, 2, 3],
      ...NOTHING_ELSE,
    });
    expect(Object.keys(equivalence)).toEqual(VARIANT_IDS.filter((id) => id !== 'switch'));
    const difference = (value: number) => ({ meanDifference: value, interval: { low: value, high: value } });
    expect(equivalence.locmoe).toEqual({ margin: 0.01, p: expect.any(Number), ...difference(-0.01) });
    expect(equivalenceToHash.locmoe).toEqual({ margin: 0.01, p: 0, ...difference(0) });
    expect(equivalenceToTwoLevelHash.locmoe).toEqual({ margin: 0.01, p: 1, ...difference(-0.1) });
    expect(equivalenceToPlainSwitch.locmoe).toEqual({ margin: 0.01, p: 1, ...difference(-0.1) });
    const [locmoeVsHash] = figures.contrasts;
    expect(locmoeVsHash).toMatchObject({
      variant: 'locmoe',
      reference: 'hash',
      measure: 'step time',
      goal: -0.1268,
      difference: difference(-0.2727),
      verdict: 'shown',
    });
    expect(timeToBaselinePerplexity.switch).toBe(1);
    expect(timeToPlainSwitchPerplexity['switch-plain']).toBe(1);
    expect(frontier).toHaveLength(VARIANT_IDS.length);
    expect(frontier.find(({ router }) => router === 'locmoe-plus')).toEqual({
      router: 'locmoe-plus',
      capacity: 'capacityFactor=0.37',
      tokensPerExpert: 30,
      tokensVsBaseline: -0.7,
      perplexity: 20.0855,
      perplexityCausal: 20.0855,
    });
  });

  it('says null where a run is missing', () => {
    const headline = headlineOfAll(timed.filter(({ variant }) => variant === 'hash' || variant === 'switch'));
    expect(headline.allToAllShareOfBaselineStep).toBe(0.22);
    expect(headline.locmoePlus.tokensPerExpertVsBaseline).toBeNull();
    const ofLocmoe = headline.contrasts.filter(({ variant }) => variant !== 'hash-two-level');
    expect(new Set(ofLocmoe.map(({ difference, verdict }) => difference ?? verdict))).toEqual(
      new Set([null]),
    );
    expect(headline).toMatchObject({
      equivalence: {},
      timeToBaselinePerplexity: {},
      tokensTrained: null,
      frontier: [],
    });
  });
});
