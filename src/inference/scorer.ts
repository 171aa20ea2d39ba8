import { setImmediate } from 'node:timers/promises';
import type { Inference } from './inference.js';
import { type LogLikelihood, logLikelihoods, type ScoredText } from './log-likelihood.js';

/** Scores texts by a model. */
export interface Scorer extends Pick<Inference, 'checkpoint' | 'config' | 'tokenizer'> {
  /** Calls of `score` that go on at the same time. */
  readonly atOnce: number;
  /** @throws TrainerError as `logLikelihoods` */
  score(texts: readonly ScoredText[]): Promise<LogLikelihood[]>;
}

/** Scores in this process; before each call the event loop has its turn. */
export function scorerOf(inference: Inference): Scorer {
  const { checkpoint, config, tokenizer } = inference;
  return {
    ...{ checkpoint, config, tokenizer, atOnce: 1 },
    async score(texts) {
      await setImmediate();
      return logLikelihoods(inference, texts);
    },
  };
}
