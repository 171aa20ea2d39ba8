import { describe, expect, it } from 'vitest';
import { differenceOf } from '../../../src/cli/doctor/trial.js';

const firstStep = (loss: number, ...gradients: readonly number[]) => ({
  steps: [{ loss, gradientNorm: Math.hypot(...gradients), stepMs: 1 }],
  gradients: new Map(gradients.map((value, i) => [`parameter ${i}`, Float32Array.of(value)])),
});

describe('differences between layouts', () => {
  it('are within the tolerance where they are rounding', () => {
    const difference = differenceOf(firstStep(2, 3, 4), firstStep(2.00001, 3, 4.00001));
    expect(difference.isWithinTolerance).toBe(true);
    expect(difference.loss).toBeCloseTo(5e-6, 9);
    expect(difference.gradient).toBeCloseTo(2e-6, 6);
    expect(difference.worst.parameter).toBe('parameter 1');
  });

  it.each([
    ['the loss', firstStep(2.01, 3, 4)],
    ['a gradient', firstStep(2, 3, 4.01)],
    ['gradients whose norm is the same', firstStep(2, 4, 3)],
  ])('are named where %s differs', (_, spread) => {
    expect(differenceOf(firstStep(2, 3, 4), spread).isWithinTolerance).toBe(false);
  });
});
