import { expect, it } from 'vitest';
import { loadConfig } from '../../src/config/resolve.js';
import { longWarmUp } from '../../src/coordinator/long-warm-up.js';

const warningFor = (...sets: string[]) =>
  longWarmUp(loadConfig('tiny', { sets: ['train.learningRate=0.01', 'train.warmupSteps=50', ...sets] }));

it('says how far the learning rate comes if the run ends in the warm-up', () => {
  expect(warningFor('train.steps=5')).toBe(
    'train.warmupSteps is 50, and the run has 5 steps: its learning rate rises to 0.001 only, not to train.learningRate 0.01',
  );
  expect(warningFor('train.maxTokens=5000')).toMatch(/the run has 2 steps: /);
  expect(warningFor('train.steps=50')).toBeNull();
});
