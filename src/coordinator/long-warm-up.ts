import { numStepsOf } from '../config/run-length.js';
import type { RunConfig } from '../config/schema.js';
import { formatNumberOf } from '../format.js';
import { learningRateAt } from '../worker/lr-schedule.js';

/** A warning for a run that ends before its warm-up does. Null for any other. */
export function longWarmUp(config: RunConfig): string | null {
  const { warmupSteps, learningRate } = config.train;
  const numSteps = numStepsOf(config);
  if (warmupSteps <= numSteps) return null;
  const last = Number(learningRateAt(numSteps, numSteps, config.train).toPrecision(3));
  return `train.warmupSteps is ${warmupSteps}, and the run has ${formatNumberOf(numSteps, 'step')}: its learning rate rises to ${last} only, not to train.learningRate ${learningRate}`;
}
