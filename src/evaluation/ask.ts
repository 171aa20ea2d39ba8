import { setImmediate } from 'node:timers/promises';
import type { Inference } from '../inference/inference.js';
import { type LogLikelihood, logLikelihoods } from '../inference/log-likelihood.js';
import type { Scoring } from './prompt.js';
import { type Asked, metricsOf, type Requests, requestsOf } from './requests.js';
import type { AskedTask } from './shots.js';

/** What a model says to a question, scored in one way. */
export interface Answer extends Asked, Pick<Requests, 'context' | 'continuations' | 'wasCut'> {
  /** By option. */
  readonly logLikelihoods: readonly LogLikelihood[];
  /** Without a context, by option; empty where options are scored by letter. */
  readonly unconditional: readonly LogLikelihood[];
  /** 1 if the right option comes first by a measure, else 0. */
  readonly metrics: Readonly<Record<string, number>>;
}

export interface AskOptions {
  /** Domain id: position in data.domains. */
  readonly domain: number;
  readonly onProgress: (done: number) => void;
  /** Looked at between batches; its reason is thrown. */
  readonly signal: AbortSignal;
}

export interface Answers {
  readonly answers: readonly Answer[];
  /** Not scored: an option alone is longer than the model's window. */
  readonly unscored: readonly Asked[];
}

/** Questions whose options go through the model together. */
const QUESTIONS_AT_ONCE = 32;
const SCORINGS: readonly Scoring[] = ['letter', 'continuation'];

/** Asks all questions, scored by letter and by continuation. Between batches the event loop has its turn. */
export async function ask(
  inference: Inference,
  tasks: readonly AskedTask[],
  options: AskOptions,
): Promise<Answers> {
  const answers: Answer[] = [];
  const unscored: Asked[] = [];
  const all = tasks.flatMap((task) => task.questions.map((question) => ({ task, question })));
  for (let begin = 0; begin < all.length; begin += QUESTIONS_AT_ONCE) {
    const some = all
      .slice(begin, begin + QUESTIONS_AT_ONCE)
      .flatMap((each) => SCORINGS.map((scoring): Asked => ({ ...each, scoring })));
    const batch = answersTo(inference, some, options.domain);
    answers.push(...batch.answers);
    unscored.push(...batch.unscored);
    options.onProgress(Math.min(all.length, begin + QUESTIONS_AT_ONCE));
    await setImmediate();
    options.signal.throwIfAborted();
  }
  return { answers, unscored };
}

function answersTo(inference: Inference, asked: readonly Asked[], domain: number): Answers {
  const answers: Answer[] = [];
  const unscored: Asked[] = [];
  const prepared = asked.map((each) => ({ asked: each, requests: requestsOf(each, inference, domain) }));
  const texts = prepared.flatMap(({ requests }) =>
    requests === null ? [] : [...requests.conditional, ...requests.unconditional],
  );
  const left = [...logLikelihoods(inference, texts)];
  const take = (count: number) => left.splice(0, count);
  for (const { asked, requests } of prepared) {
    if (requests === null) {
      unscored.push(asked);
      continue;
    }
    const { context, continuations, wasCut } = requests;
    const conditional = take(requests.conditional.length);
    const unconditional = take(requests.unconditional.length);
    const metrics = metricsOf(asked, conditional, unconditional);
    answers.push({
      ...{ ...asked, context, continuations, wasCut, metrics },
      ...{ logLikelihoods: conditional, unconditional },
    });
  }
  return { answers, unscored };
}
