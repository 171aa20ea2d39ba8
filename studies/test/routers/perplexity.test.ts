import { describe, expect, it } from 'vitest';
import { perplexityAtTokensOfTraining, perplexityOf, stepsToReach } from '../../routers/time-to-baseline.js';
import { qualityJob, runResult } from './support.js';

describe('stepsToReach', () => {
  const curve = [
    { step: 100, perplexity: 64 },
    { step: 200, perplexity: 16 },
    { step: 300, perplexity: 17 },
    { step: 400, perplexity: 8 },
  ];

  it('goes along the straight line of the loss', () => {
    // log2 of the perplexity falls from 6 to 4.
    expect(stepsToReach(curve, 32)).toBeCloseTo(150, 9);
    expect(stepsToReach(curve, 2 ** 4.5)).toBeCloseTo(175, 9);
    expect(stepsToReach(curve, 16)).toBe(200);
  });

  it('takes the first time of several', () => {
    expect(stepsToReach(curve, 16.5)).toBeLessThan(200);
    expect(stepsToReach(curve, 10)).toBeGreaterThan(300);
  });

  it('knows nothing before the first validation, and says where none is low enough', () => {
    expect(stepsToReach(curve, 100)).toBe(100);
    expect(stepsToReach(curve, 7.9)).toBe(Number.POSITIVE_INFINITY);
    expect(stepsToReach([], 8)).toBe(Number.POSITIVE_INFINITY);
  });
});

describe('the perplexity of a run', () => {
  // Cross-entropies of 3 by the causal rule and of 2.5 by that of training.
  const run = (variant: Parameters<typeof qualityJob>[0]) =>
    runResult(qualityJob(variant, 1), { perplexity: 22 });

  it('is by the causal rule, but for a router of which drops are the point', () => {
    expect(perplexityOf(run('switch'))).toBe(22);
    expect(perplexityOf(run('locmoe-plus'))).toBe(22);
    expect(perplexityOf(run('hash-first-come'))).toBeCloseTo(Math.exp(2.5), 12);
    expect(perplexityOf({ ...run('hash-first-come'), byRule: null })).toBeNull();
  });

  it('on the frontier is that with as many tokens as in training', () => {
    expect(perplexityAtTokensOfTraining(run('switch'))).toBeCloseTo(Math.exp(2.5), 12);
    // By its thresholds.
    expect(perplexityAtTokensOfTraining(run('locmoe-plus'))).toBeCloseTo(Math.exp(3), 12);
    expect(perplexityAtTokensOfTraining(run('locmoe-plus-random'))).toBeCloseTo(Math.exp(3), 12);
    expect(perplexityAtTokensOfTraining({ ...run('switch'), byRule: null })).toBeNull();
  });
});
