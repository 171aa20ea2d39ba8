import { numStepsOf } from '@locmoe/run-format';
import { expect, it } from 'vitest';
import { loadConfig } from '../../src/config/resolve.js';
import { endOf } from '../../src/run/run-end.js';
import { bestAfter, metricsOfProgress, progressOfMetrics } from '../../src/run/run-progress.js';

// A step has 2048 tokens.
const config = (...sets: string[]) => loadConfig('tiny', { sets });
const at = (step: number, metrics: Record<string, number> = {}) => ({ step, metrics });

it('a run is as long as steps and tokens allow, whichever is less', () => {
  expect(numStepsOf(config())).toBe(400);
  expect(numStepsOf(config('train.maxTokens=20479'))).toBe(9);
  expect(numStepsOf(config('train.maxTokens=20480'))).toBe(10);
  expect(numStepsOf(config('train.maxTokens=20480', 'train.steps=3'))).toBe(3);
});

const metrics = (validationsSinceBest: number) => ({
  bestStep: 20,
  bestValidationLoss: 4.5,
  validationsSinceBest,
});

it.each([
  [[], at(399), at(400), { reason: 'has done 400 steps, and train.steps is 400', remedy: 'train.steps=800' }],
  [
    ['train.maxTokens=20480'],
    at(9),
    at(10),
    {
      reason: 'has trained on 20480 tokens, and train.maxTokens is 20480',
      remedy: 'train.maxTokens=40960',
    },
  ],
  [
    ['train.maxHours=1.5'],
    at(9, { trainingSeconds: 5399 }),
    at(9, { trainingSeconds: 5401 }),
    { reason: 'has trained for 1.5 h, and train.maxHours is 1.5', remedy: 'train.maxHours=3' },
  ],
  [
    ['train.earlyStop={patience: 3}'],
    at(40, metrics(2)),
    at(50, metrics(3)),
    {
      reason:
        'has not lowered its validation loss of 4.500 at step 20 for 3 validations, and train.earlyStop.patience is 3',
      remedy: 'train.earlyStop.patience=6',
    },
  ],
])('a run with %j that is done says what allows no more, and what to raise', (sets, before, after, end) => {
  expect(endOf(config(...sets), before)).toBeNull();
  expect(endOf(config(...sets), after)).toEqual(end);
  if (sets.length > 0) expect(endOf(config(), after)).toBeNull();
});

it('the best validation is one that is lower by more than minDelta', () => {
  const losses = [5, 4.95, 4.8, 4.9, Number.NaN, 4.65];
  let best: ReturnType<typeof bestAfter> = null;
  const seen = losses.map((loss, i) => {
    best = bestAfter(best, { step: 10 * (i + 1), loss }, 0.1);
    return best;
  });
  expect(seen).toEqual([
    { step: 10, loss: 5, since: 0 },
    { step: 10, loss: 5, since: 1 },
    { step: 30, loss: 4.8, since: 0 },
    { step: 30, loss: 4.8, since: 1 },
    { step: 30, loss: 4.8, since: 2 },
    { step: 60, loss: 4.65, since: 0 },
  ]);
  expect(bestAfter(null, { step: 1, loss: Number.NaN }, 0)).toBeNull();
  expect(bestAfter({ step: 1, loss: 2, since: 0 }, { step: 2, loss: 2 }, 0)?.since).toBe(1);
});

it.each([
  { trainingSeconds: 12.5, best: null },
  { trainingSeconds: 0, best: { step: 30, loss: 4.8, since: 1 } },
])('progress comes back from the metrics of a checkpoint: %j', (progress) => {
  expect(progressOfMetrics({ loss: 3, ...metricsOfProgress(progress) })).toEqual(progress);
});

it('a checkpoint of an earlier version has no progress', () => {
  expect(progressOfMetrics({ loss: 3 })).toEqual({ trainingSeconds: 0, best: null });
});
