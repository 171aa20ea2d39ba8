import { globalStep } from '@locmoe/test-kit';
import { describe, expect, it } from 'vitest';
import { runFigures } from '../../src/routers/run-figures.js';

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

  it('times the steps after the warm-up, weighs domains by their tokens, and accounts for the tokens', () => {
    const figures = runFigures(steps, validations);
    expect(figures.stepMs).toEqual({ median: 100.5, p10: 100, p90: 101 });
    expect(figures.allToAllShare).toBeCloseTo((20 / 100 + 20 / 101) / 2, 12);
    expect(figures.perplexity).toBeCloseTo(10 ** 1.5, 9);
    // Two layers of four experts: 40 and 24 kept choices of 50 and 30.
    expect(figures.tokensPerExpert).toBe(8);
    expect(figures.overCapacityShare).toBeCloseTo(12 / 80, 12);
    expect(figures.notChosenShare).toBeCloseTo(4 / 80, 12);
    expect(figures.localShare).toBe(0.75);
    expect(figures.bytesOtherNode).toBe(5000);
    expect(figures.loadByLayer[1]).toEqual([120, 110, 10, 0]);
    // An even share of the layer that uses the fewest experts is 60, and an expert counts as used from a tenth of it:
    // 10 does, 0 does not.
    expect(figures.expertsUsed).toBe(3);
  });
});
