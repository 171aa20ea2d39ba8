import type { TrainConfig } from '../config/schema.js';

/**
 * Learning rate of the `step`-th update, counted from 1: linear warm-up to `learningRate` at step
 * `warmupSteps`, then cosine decay to `endLearningRate` at step `steps`, constant from there.
 */
export function learningRateAt(
  step: number,
  train: Pick<TrainConfig, 'steps' | 'warmupSteps' | 'learningRate' | 'endLearningRate'>,
): number {
  const { steps, warmupSteps, learningRate, endLearningRate } = train;
  if (step < warmupSteps) return (learningRate * step) / warmupSteps;
  if (step >= steps) return endLearningRate;
  const progress = (step - warmupSteps) / (steps - warmupSteps);
  return endLearningRate + 0.5 * (learningRate - endLearningRate) * (1 + Math.cos(Math.PI * progress));
}
