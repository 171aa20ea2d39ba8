import { expect, it } from 'vitest';
import { loadConfig } from '../../src/config/resolve.js';
import { numStepsOf } from '../../src/config/run-length.js';
import { endOf } from '../../src/run/run-end.js';

// 2048 tokens a step.
const config = (...sets: string[]) => loadConfig('tiny', { sets });

it('a run is as long as steps and tokens allow, whichever is less', () => {
  expect(numStepsOf(config())).toBe(400);
  expect(numStepsOf(config('train.maxTokens=20479'))).toBe(9);
  expect(numStepsOf(config('train.maxTokens=20480'))).toBe(10);
  expect(numStepsOf(config('train.maxTokens=20480', 'train.steps=3'))).toBe(3);
});

it('a run that is done says what allows no more, and what to raise', () => {
  expect(endOf(config(), { step: 399 })).toBeNull();
  expect(endOf(config(), { step: 400 })).toEqual({
    reason: 'has done 400 steps, and train.steps is 400',
    remedy: 'train.steps=800',
  });
  expect(endOf(config('train.maxTokens=20480'), { step: 9 })).toBeNull();
  expect(endOf(config('train.maxTokens=20480'), { step: 10 })).toEqual({
    reason: 'has trained on 20480 tokens, and train.maxTokens is 20480',
    remedy: 'train.maxTokens=40960',
  });
});
