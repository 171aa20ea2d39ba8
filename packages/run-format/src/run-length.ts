type Length = {
  readonly model: { readonly seqLen: number };
  readonly train: {
    readonly steps: number;
    readonly maxTokens: number | null;
    readonly globalBatch: number;
  };
};

/** Tokens of one update, over all ranks. */
export function tokensPerStep({ train, model }: Length): number {
  return train.globalBatch * model.seqLen;
}

/** Returns the number of updates of the whole run: train.steps, or as many as train.maxTokens allows. */
export function numStepsOf(config: Length): number {
  const { steps, maxTokens } = config.train;
  return maxTokens === null ? steps : Math.min(steps, Math.floor(maxTokens / tokensPerStep(config)));
}
