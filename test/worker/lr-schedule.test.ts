import { expect, test } from 'vitest';
import { learningRateAt } from '../../src/worker/lr-schedule.js';

const train = { steps: 110, warmupSteps: 10, learningRate: 2e-3, endLearningRate: 2e-5 };

test('warm-up is linear and reaches the peak at its last step', () => {
  for (let step = 1; step <= 10; step++)
    expect(learningRateAt(step, train)).toBeCloseTo((2e-3 * step) / 10, 15);
});

test('then half a cosine down to the end rate', () => {
  // Quarter points of a cosine: (1 + cos(pi/4)) / 2, 1/2, (1 - cos(pi/4)) / 2.
  const at = (share: number) => 2e-5 + share * (2e-3 - 2e-5);
  expect(learningRateAt(35, train)).toBeCloseTo(at((1 + Math.SQRT1_2) / 2), 15);
  expect(learningRateAt(60, train)).toBeCloseTo(at(0.5), 15);
  expect(learningRateAt(85, train)).toBeCloseTo(at((1 - Math.SQRT1_2) / 2), 15);
  expect(learningRateAt(110, train)).toBe(2e-5);
  expect(learningRateAt(500, train)).toBe(2e-5);
});

test('it rises, then falls, without a jump at the seam', () => {
  const rates = Array.from({ length: 110 }, (_, i) => learningRateAt(i + 1, train));
  for (let i = 1; i < 110; i++)
    expect(Math.sign(rates[i] - rates[i - 1]), `step ${i + 1}`).toBe(i < 10 ? 1 : -1);
});

test('no warm-up starts near the peak; warm-up of all steps never divides by zero', () => {
  expect(learningRateAt(1, { ...train, warmupSteps: 0 })).toBeCloseTo(2e-3, 5);
  expect(learningRateAt(109, { ...train, warmupSteps: 110 })).toBeCloseTo((2e-3 * 109) / 110, 15);
  expect(learningRateAt(110, { ...train, warmupSteps: 110 })).toBe(2e-5);
});
