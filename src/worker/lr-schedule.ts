import type { TrainConfig } from '../config/schema.js';

type ScheduleFields = 'schedule' | 'warmupSteps' | 'decayShare' | 'learningRate' | 'endLearningRate';

/**
 * Returns the learning rate of the `step`-th update, counted from 1: linear warm-up to `learningRate` at step
 * `warmupSteps`, then by `schedule`:
 *
 * - `cosine`, `linear`: half a cosine, or a line, from there to `endLearningRate` at step `numSteps`.
 * - `wsd`: warm-up, stable, decay (MiniCPM, arXiv 2404.06395, eq. 1): stable until the last `decayShare` of
 *   the steps, which are a line to `endLearningRate` (arXiv 2405.18392, section 3: linear cooldown, 20 %).
 * - `constant`: stable to the end.
 *
 * With train.maxHours, the position in the schedule is the number of steps, or the share of the time that has
 * passed times `numSteps` if that is larger.
 *
 * @param numSteps number of updates of the whole run; later updates keep the final rate
 * @param timeUsed share of train.maxHours that has passed
 */
export function learningRateAt(
  step: number,
  numSteps: number,
  train: Pick<TrainConfig, ScheduleFields>,
  timeUsed = 0,
): number {
  const { warmupSteps, learningRate } = train;
  const position = Math.max(step, timeUsed * numSteps);
  if (step >= warmupSteps) return afterWarmUp(position, numSteps, train);
  const peak = position <= warmupSteps ? learningRate : afterWarmUp(position, numSteps, train);
  return (peak * step) / warmupSteps;
}

/** @param position position in the schedule in steps, at or after the end of the warm-up */
function afterWarmUp(
  position: number,
  numSteps: number,
  { schedule, warmupSteps, decayShare, learningRate, endLearningRate }: Pick<TrainConfig, ScheduleFields>,
): number {
  if (schedule === 'constant') return learningRate;
  if (position >= numSteps) return endLearningRate;
  const stableUntil = schedule === 'wsd' ? Math.floor((1 - decayShare) * numSteps) : 0;
  const begin = Math.max(warmupSteps, stableUntil);
  if (position < begin) return learningRate;
  const progress = (position - begin) / (numSteps - begin);
  if (schedule === 'cosine')
    return endLearningRate + 0.5 * (learningRate - endLearningRate) * (1 + Math.cos(Math.PI * progress));
  return learningRate + (endLearningRate - learningRate) * progress;
}
