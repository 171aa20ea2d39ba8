import { describe, expect, it } from 'vitest';
import { Comparison } from '../../src/routers/comparison.js';
import { headlineOf } from '../../src/routers/headline.js';
import { HEADLINE_CELL, type VariantId } from '../../src/routers/jobs.js';
import { cellOfRuns, runResult } from './support.js';

const STEP_MS: Readonly<Partial<Record<VariantId, number>>> = {
  hash: 110,
  switch: 100,
  locmoe: 80,
  'locmoe-plus': 60,
  'locmoe-plus-tcr': 70,
  'locmoe-plus-ecr': 65,
};
const timing = (median: number) => ({ stepMs: { median, p10: median, p90: median } });
const labels = { machine: 'a machine', command: 'a command' };

describe('Comparison', () => {
  // Seed 3 ran during a slowdown that affects both routers; paired ratios are unaffected.
  const comparison = new Comparison(
    [
      [1, 100, 80],
      [2, 102, 76.5],
      [3, 300, 210],
    ].flatMap(([seed, baseline, locmoe]) => [
      runResult({ ...HEADLINE_CELL, variant: 'switch', seed }, timing(baseline)),
      runResult({ ...HEADLINE_CELL, variant: 'locmoe', seed }, timing(locmoe)),
    ]),
  );

  it('pairs runs of the same seed', () => {
    const ratio = comparison.ratio(HEADLINE_CELL, 'locmoe', 'switch', ({ stepMs }) => stepMs.median);
    expect(ratio!.median).toBeCloseTo(-0.25, 12);
    expect(ratio!.least).toBeCloseTo(-0.3, 12);
    expect(ratio!.most).toBeCloseTo(-0.2, 12);
  });

  it('has no figure of a run that was not made', () => {
    expect(comparison.ratio(HEADLINE_CELL, 'hash', 'switch', ({ stepMs }) => stepMs.median)).toBeNull();
    expect(comparison.spread(HEADLINE_CELL, 'locmoe', () => null)).toBeNull();
    const other = { layout: '4x1', placement: 'mixed' } as const;
    expect(comparison.spread(other, 'switch', ({ stepMs }) => stepMs.median)).toBeNull();
  });
});

describe('headlineOf', () => {
  const runs = cellOfRuns(HEADLINE_CELL, (variant, seed) => ({
    ...timing((STEP_MS[variant] ?? 90) * seed),
    tokensPerExpert: variant === 'locmoe-plus' ? 30 : 100,
    perplexity: variant === 'switch' ? 50 : 49.5,
    expertsUsed: seed,
    allToAllShare: 0.2 + seed / 100,
  }));
  const elsewhere = cellOfRuns({ layout: '4x1', placement: 'mixed' }, () => timing(1));

  it('has exactly these figures, as fractions', () => {
    expect(headlineOf(new Comparison([...elsewhere, ...runs]), labels)).toEqual({
      allToAllShareOfBaselineStep: 0.22,
      locmoe: {
        stepTimeVsHash: -0.2727,
        stepTimeVsSwitch: -0.2,
        perplexityVsSwitch: -0.01,
        expertsUsed: 2,
      },
      locmoePlus: {
        tokensPerExpertVsBaseline: -0.7,
        stepTimeVsBaseline: -0.4,
        stepTimeVsLocmoe: -0.25,
        perplexityVsBaseline: -0.01,
      },
      seeds: [1, 2, 3],
      ...labels,
    });
  });

  it('says null where a run is missing', () => {
    const only = runs.filter(({ variant }) => variant === 'hash' || variant === 'switch');
    const headline = headlineOf(new Comparison(only), labels);
    expect(headline.allToAllShareOfBaselineStep).toBe(0.22);
    expect(Object.values({ ...headline.locmoe, ...headline.locmoePlus })).toEqual(new Array(8).fill(null));
  });
});
