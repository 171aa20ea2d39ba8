import type { Manifest } from '../checkpoint/manifest.js';
import { numStepsOf, tokensPerStep } from '../config/run-length.js';
import type { RunConfig } from '../config/schema.js';

/** Why a run is done. */
export interface RunEnd {
  /** What it has done, and the field that allows no more. */
  readonly reason: string;
  /** A `--set` assignment with which it would go on. */
  readonly remedy: string;
}

/** Why a run of this configuration is done at a checkpoint; null if it goes on from there. */
export function endOf(config: RunConfig, { step }: Pick<Manifest, 'step'>): RunEnd | null {
  if (step < numStepsOf(config)) return null;
  const { steps, maxTokens } = config.train;
  if (step >= steps)
    return {
      reason: `has done ${step} steps, and train.steps is ${steps}`,
      remedy: `train.steps=${2 * step}`,
    };
  const tokens = step * tokensPerStep(config);
  return {
    reason: `has trained on ${tokens} tokens, and train.maxTokens is ${maxTokens}`,
    remedy: `train.maxTokens=${2 * tokens}`,
  };
}
