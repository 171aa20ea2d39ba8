import type { TrainConfig } from '../config/schema.js';

type ScheduleFields = 'schedule' | 'warmupSteps' | 'decayShare' | 'learningRate' | 'endLearningRate';

/**
 * Learning rate of the `step`-th update, counted from 1: linear warm-up to `learningRate` at step
 * `warmupSteps`, then by `schedule`:
 *
 * - `cosine`, `linear`: half a cosine, or a line, from there to `endLearningRate` at step `numSteps`.
 * - `wsd`: warm-up, stable, decay (MiniCPM, arXiv 2404.06395, eq. 1): stable until the last `decayShare` of
 *   the steps, which are a line to `endLearningRate` (arXiv 2405.18392, section 3: linear cooldown, 20 %).
 * - `constant`: stable to the end.
 *
 * @param numSteps updates of the whole run; after them a rate that has come down stays where it is
 */
export function learningRateAt(
  step: number,
  numSteps: number,
  { schedule, warmupSteps, decayShare, learningRate, endLearningRate }: Pick<TrainConfig, ScheduleFields>,
): number {
  if (step < warmupSteps) return (learningRate * step) / warmupSteps;
  if (schedule === 'constant') return learningRate;
  if (step >= numSteps) return endLearningRate;
  const stableUntil = schedule === 'wsd' ? Math.floor((1 - decayShare) * numSteps) : 0;
  const begin = Math.max(warmupSteps, stableUntil);
  if (step < begin) return learningRate;
  const progress = (step - begin) / (numSteps - begin);
  if (schedule === 'cosine')
    return endLearningRate + 0.5 * (learningRate - endLearningRate) * (1 + Math.cos(Math.PI * progress));
  return learningRate + (endLearningRate - learningRate) * progress;
}
