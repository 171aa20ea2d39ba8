import type { GlobalStep } from '@locmoe/run-format';
import { describe, expect, it } from 'vitest';
import { runFigures } from '../../src/routers/run-figures.js';
import { globalStep } from './support.js';

describe('runFigures', () => {
  // The first 20 of 40 steps are slow and excluded.
  const steps = Array.from({ length: 40 }, (_, i) =>
    globalStep(i + 1, { stepMs: i < 20 ? 900 : 100 + (i % 2) }),
  );
  const validations = [
    {
      step: 40,
      domains: [
        { domain: 'a', loss: Math.log(10), tokens: 300 },
        { domain: 'b', loss: Math.log(1000), tokens: 100 },
      ],
    },
  ];

  it('times the steps after the warm-up', () => {
    const { stepMs, allToAllShare, composition } = runFigures(steps, validations);
    expect(stepMs).toEqual({ median: 100.5, p10: 100, p90: 101 });
    expect(allToAllShare).toBeCloseTo((20 / 100 + 20 / 101) / 2, 12);
    expect(composition).toMatchObject({
      computation: 60,
      communication: 7,
      waitingInAllToAll: 15,
      waitingElsewhere: 10,
    });
    const parts = Object.values(composition).reduce((sum, ms) => sum + ms, 0);
    expect(parts).toBeCloseTo(100.5, 12);
  });

  it('weighs domains by their tokens', () => {
    expect(runFigures(steps, validations).perplexity).toBeCloseTo(10 ** 1.5, 9);
  });

  it('accounts for the tokens', () => {
    const figures = runFigures(steps, validations);
    // Two layers of four experts: 40 and 24 kept choices of 50 and 30.
    expect(figures.tokensPerExpert).toBe(8);
    expect(figures.overCapacityShare).toBeCloseTo(12 / 80, 12);
    expect(figures.notChosenShare).toBeCloseTo(4 / 80, 12);
    expect(figures.localShare).toBe(0.75);
    expect(figures.sameWorkerShare).toBe(0.5);
    expect(figures.bytesOtherNode).toBe(5000);
    expect(figures.capacityRatio).toBeCloseTo(0.5, 12);
    expect(figures.gateCosine).toBeCloseTo(0.25, 12);
  });

  it('counts the tokens of an expert after the warm-up, in all steps, and in the last quarter', () => {
    const twice = (step: GlobalStep): GlobalStep => ({
      ...step,
      layers: step.layers.map((layer) => ({ ...layer, kept: layer.kept.map((count) => 2 * count) })),
    });
    const figures = runFigures(
      steps.map((step, i) => (i < 24 ? twice(step) : step)),
      validations,
    );
    // 4 of the 20 counted steps have 16 instead of 8, 24 of all 40, and none of the last 10.
    expect(figures.tokensPerExpert).toBeCloseTo(9.6, 12);
    expect(figures.tokensPerExpertOfAllSteps).toBeCloseTo(12.8, 12);
    expect(figures.tokensPerExpertOfLastQuarter).toBe(8);
  });

  it('counts the experts that get at least a tenth of an even share, in the layer that uses fewest', () => {
    const figures = runFigures(steps, validations);
    expect(figures.loadByLayer[1]).toEqual([120, 110, 10, 0]);
    // An even share of 240 is 60: 10 is used, 0 is not.
    expect(figures.expertsUsed).toBe(3);
  });

  it('follows the run in at most 40 points', () => {
    const long = Array.from({ length: 90 }, (_, i) => globalStep(i + 1, {}));
    const { curve } = runFigures(long, validations);
    expect(curve).toHaveLength(30);
    expect(curve.at(-1)).toEqual({ step: 90, tokensPerExpert: 8, localShare: 0.75 });
  });
});
