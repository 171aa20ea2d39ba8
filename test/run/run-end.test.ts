import { numStepsOf } from '@locmoe/run-format';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/resolve.js';
import { endOf } from '../../src/run/run-end.js';
import { bestAfter, metricsOfProgress, progressOfMetrics } from '../../src/run/run-progress.js';

// 2048 tokens a step.
const config = (...sets: string[]) => loadConfig('tiny', { sets });
const at = (step: number, metrics: Record<string, number> = {}) => ({ step, metrics });

it('a run is as long as steps and tokens allow, whichever is less', () => {
  expect(numStepsOf(config())).toBe(400);
  expect(numStepsOf(config('train.maxTokens=20479'))).toBe(9);
  expect(numStepsOf(config('train.maxTokens=20480'))).toBe(10);
  expect(numStepsOf(config('train.maxTokens=20480', 'train.steps=3'))).toBe(3);
});

describe('a run that is done says what allows no more, and what to raise', () => {
  it('steps', () => {
    expect(endOf(config(), at(399))).toBeNull();
    expect(endOf(config(), at(400))).toEqual({
      reason: 'has done 400 steps, and train.steps is 400',
      remedy: 'train.steps=800',
    });
  });

  it('tokens', () => {
    const short = config('train.maxTokens=20480');
    expect(endOf(short, at(9))).toBeNull();
    expect(endOf(short, at(10))).toEqual({
      reason: 'has trained on 20480 tokens, and train.maxTokens is 20480',
      remedy: 'train.maxTokens=40960',
    });
  });

  it('hours', () => {
    const short = config('train.maxHours=1.5');
    expect(endOf(short, at(9, { trainingSeconds: 5399 }))).toBeNull();
    expect(endOf(config(), at(9, { trainingSeconds: 5401 }))).toBeNull();
    expect(endOf(short, at(9, { trainingSeconds: 5401 }))).toEqual({
      reason: 'has trained for 1.5 h, and train.maxHours is 1.5',
      remedy: 'train.maxHours=3',
    });
  });

  it('validations without a better one', () => {
    const patient = config('train.earlyStop={patience: 3}');
    const metrics = (since: number) => ({
      bestStep: 20,
      bestValidationLoss: 4.5,
      validationsSinceBest: since,
    });
    expect(endOf(patient, at(40, metrics(2)))).toBeNull();
    expect(endOf(config(), at(50, metrics(3)))).toBeNull();
    expect(endOf(patient, at(50, metrics(3)))).toEqual({
      reason:
        'has not lowered its validation loss of 4.500 at step 20 for 3 validations, and ' +
        'train.earlyStop.patience is 3',
      remedy: 'train.earlyStop.patience=6',
    });
  });
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
