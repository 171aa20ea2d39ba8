import type { RunConfig } from './schema.js';

type Length = {
  readonly model: Pick<RunConfig['model'], 'seqLen'>;
  readonly train: Pick<RunConfig['train'], 'steps' | 'maxTokens' | 'globalBatch'>;
};

/** Tokens of one update, over all ranks. */
export function tokensPerStep({ train, model }: Length): number {
  return train.globalBatch * model.seqLen;
}

/** Updates of the whole run: train.steps, or as many as train.maxTokens allows. */
export function numStepsOf(config: Length): number {
  const { steps, maxTokens } = config.train;
  return maxTokens === null ? steps : Math.min(steps, Math.floor(maxTokens / tokensPerStep(config)));
}
