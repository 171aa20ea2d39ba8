import type { LogLikelihood, Scorer } from '../inference/log-likelihood.js';
import { inBatches, type Watch } from './in-batches.js';
import type { AskedTask } from './load-task.js';
import type { Scoring } from './prompt.js';
import { type Asked, metricsOf, type Requests, requestsOf } from './requests.js';

/** Scores that a model gives to the options of a question under one `Scoring`. */
export interface Answer extends Asked, Pick<Requests, 'context' | 'continuations' | 'wasCut'> {
  /** Log-likelihood of each option. */
  readonly logLikelihoods: readonly LogLikelihood[];
  /** Log-likelihood of each option without a context; empty where options are scored by letter. */
  readonly unconditional: readonly LogLikelihood[];
  /** 1 if the right option comes first by a measure, else 0. */
  readonly metrics: Readonly<Record<string, number>>;
}

export interface AskOptions extends Watch {
  /** Domain id: position in data.domains. */
  readonly domain: number;
}

export interface Answers {
  readonly answers: readonly Answer[];
  /** Questions that could not be scored, as one option alone is longer than the model's window. */
  readonly unscored: readonly Asked[];
}

/** Questions whose options go through the model together. */
const QUESTIONS_AT_ONCE = 32;
const SCORINGS: readonly Scoring[] = ['letter', 'continuation'];

/** Asks all questions, scored by letter and by continuation. */
export async function ask(
  scorer: Scorer,
  tasks: readonly AskedTask[],
  options: AskOptions,
): Promise<Answers> {
  const all = tasks.flatMap((task) => task.questions.map((question) => ({ task, question })));
  const batches = await inBatches(all, QUESTIONS_AT_ONCE, scorer, options, (some) =>
    answersTo(
      scorer,
      some.flatMap((each) => SCORINGS.map((scoring): Asked => ({ ...each, scoring }))),
      options.domain,
    ),
  );
  return {
    answers: batches.flatMap(({ answers }) => answers),
    unscored: batches.flatMap(({ unscored }) => unscored),
  };
}

async function answersTo(scorer: Scorer, asked: readonly Asked[], domain: number): Promise<Answers> {
  const answers: Answer[] = [];
  const unscored: Asked[] = [];
  const prepared = asked.map((each) => ({ asked: each, requests: requestsOf(each, scorer, domain) }));
  const texts = prepared.flatMap(({ requests }) =>
    requests === null ? [] : [...requests.conditional, ...requests.unconditional],
  );
  const left = await scorer.score(texts);
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
      ...asked,
      context,
      continuations,
      wasCut,
      metrics,
      logLikelihoods: conditional,
      unconditional,
    });
  }
  return { answers, unscored };
}
