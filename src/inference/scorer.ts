import type { Inference } from './inference.js';
import type { LogLikelihood, ScoredText } from './log-likelihood.js';

/** Scores texts by a model. */
export interface Scorer extends Pick<Inference, 'checkpoint' | 'config' | 'tokenizer'> {
  /** Calls of `score` that go on at the same time. */
  readonly atOnce: number;
  /** @throws TrainerError as `logLikelihoods` */
  score(texts: readonly ScoredText[]): Promise<LogLikelihood[]>;
}
