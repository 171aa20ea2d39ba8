import { numStepsOf, tokensPerStep } from '@locmoe/run-format';
import type { Manifest } from '../checkpoint/manifest.js';
import type { RunConfig } from '../config/schema.js';
import { formatNumberOf } from '../format.js';
import { progressOfMetrics } from './run-progress.js';

/** Reason why a run is done. */
export interface RunEnd {
  /** Reason in words, with the field that sets the limit. */
  readonly reason: string;
  /** A `--set` assignment with which the run would continue. */
  readonly remedy: string;
}

/** Describes how a run was ended early, as the rest of a sentence that begins with "the run". */
export function stopOf(stopped: string, step: number, config: Pick<RunConfig, 'train' | 'model'>): string {
  return `was stopped by ${stopped} at step ${step} of ${numStepsOf(config)}`;
}

/** Returns the reason why a run of this configuration is done at a checkpoint; null if it goes on from there. */
export function endOf(
  { train, model }: Pick<RunConfig, 'train' | 'model'>,
  { step, metrics }: Pick<Manifest, 'step' | 'metrics'>,
): RunEnd | null {
  const { steps, maxTokens, maxHours, earlyStop } = train;
  const { trainingSeconds, best } = progressOfMetrics(metrics);
  const hours = trainingSeconds / 3600;
  if (step >= steps)
    return {
      reason: `has done ${formatNumberOf(step, 'step')}, and train.steps is ${steps}`,
      remedy: `train.steps=${2 * step}`,
    };
  if (step >= numStepsOf({ train, model })) {
    const tokens = step * tokensPerStep({ train, model });
    return {
      reason: `has trained on ${tokens} tokens, and train.maxTokens is ${maxTokens}`,
      remedy: `train.maxTokens=${2 * tokens}`,
    };
  }
  if (maxHours !== null && hours >= maxHours)
    return {
      reason: `has trained for ${Number(hours.toPrecision(3))} h, and train.maxHours is ${maxHours}`,
      remedy: `train.maxHours=${Number((2 * hours).toPrecision(3))}`,
    };
  if (earlyStop !== null && best !== null && best.since >= earlyStop.patience)
    return {
      reason:
        `has not lowered its validation loss of ${best.loss.toFixed(3)} at step ${best.step} for ` +
        `${formatNumberOf(best.since, 'validation')}, and train.earlyStop.patience is ${earlyStop.patience}`,
      remedy: `train.earlyStop.patience=${2 * best.since}`,
    };
  return null;
}
