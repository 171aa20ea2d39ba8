import type { Scorer } from '../inference/log-likelihood.js';
import { encodePair, type LogLikelihood, type ScoredText } from '../inference/log-likelihood.js';
import type { AskedTask } from './load-task.js';
import { type Prompt, promptOf, type Scoring } from './prompt.js';
import type { Question } from './question.js';
import { indexOfMost } from './statistics.js';

/** A question and the way in which it is to be scored. */
export interface Asked {
  readonly task: AskedTask;
  readonly question: Question;
  readonly scoring: Scoring;
}

/** Log-likelihoods to compute for a question, each option as a continuation of its context. */
export interface Requests extends Prompt {
  readonly conditional: readonly ScoredText[];
  /** The continuations without a context; none where options are scored by letter. */
  readonly unconditional: readonly ScoredText[];
  /** Whether the prompt was cut on the left to fit the model's window. */
  readonly wasCut: boolean;
}

/** Returns null if an option alone is longer than the model's window. */
export function requestsOf(
  { task, question, scoring }: Asked,
  { tokenizer, config: { model } }: Pick<Scorer, 'tokenizer' | 'config'>,
  domain: number,
): Requests | null {
  const { context, continuations } = promptOf(question, task.shots, scoring);
  // The last token is predicted but not read, so it takes no place in the window.
  const longest = model.seqLen + 1;
  let wasCut = false;
  const textOf = (before: string, continuation: string): ScoredText => {
    const { contextIds, continuationIds } = encodePair(tokenizer, before, continuation);
    const tokenIds = [...contextIds, ...continuationIds];
    wasCut ||= tokenIds.length > longest;
    return { tokenIds: tokenIds.slice(-longest), numScored: continuationIds.length, domain };
  };
  const conditional = continuations.map((continuation) => textOf(context, continuation));
  if (conditional.some(({ numScored }) => numScored >= longest)) return null;
  const unconditional =
    scoring === 'letter' ? [] : continuations.map((continuation) => textOf('', continuation));
  return { context, continuations, conditional, unconditional, wasCut };
}

/**
 * Computes lm-evaluation-harness' measures: 1 if the right option comes first, else 0.
 *
 * @param unconditional empty where options are scored by letter
 */
export function metricsOf(
  { question: { choices, answer } }: Asked,
  conditional: readonly LogLikelihood[],
  unconditional: readonly LogLikelihood[],
): Record<string, number> {
  const isBest = (scoreOf: (sum: number, i: number) => number) =>
    Number(indexOfMost(conditional.map(({ sum }, i) => scoreOf(sum, i))) === answer);
  const acc = isBest((sum) => sum);
  // All letters have the same length, so the normalized measures would equal acc.
  if (unconditional.length === 0) return { acc };
  return {
    acc,
    acc_norm: isBest((sum, i) => sum / [...choices[i]!].length),
    acc_bytes: isBest((sum, i) => sum / Buffer.byteLength(choices[i]!)),
    acc_mutual_info: isBest((sum, i) => sum - unconditional[i]!.sum),
  };
}
