import { ScorerPool } from 'locmoe/internal/cli/eval/scorer-pool';
import { untilAnswered } from 'locmoe/internal/cli/eval/until-answered';
import { openCheckpoint } from 'locmoe/internal/cli/load-inference';
import { type Answer, ask } from 'locmoe/internal/evaluation/ask';
import {
  answerCloze,
  type ClozeItem,
  continuationTokens,
  NUM_CHOICES,
} from 'locmoe/internal/evaluation/cloze';
import type { Watch } from 'locmoe/internal/evaluation/in-batches';
import type { Scoring } from 'locmoe/internal/evaluation/prompt';
import { baselinesOf } from 'locmoe/internal/evaluation/summary';
import type { Scorer } from 'locmoe/internal/inference/log-likelihood';
import type { Material, NamedTask } from './material.js';

export const CLOZE = 'cloze';

/**
 * What is measured of each question. By continuation and by letter: 1 if the right option comes first, else 0; options by
 * their log-likelihood per character, continuations of the cloze by mutual information. Likelihood: log-likelihood of the
 * right option per character, in the cloze per token.
 */
export const MEASURES = ['continuation', 'letter', 'likelihood'] as const;
export type Measure = (typeof MEASURES)[number];

/** A model's answers to the questions of a task. */
export interface TaskAnswers {
  readonly chance: number;
  /** Always the letter that is most often right, and always the first longest option; not in the cloze. */
  readonly majority?: number;
  readonly firstLongest?: number;
  /** Share of the prompts that the model's window cut; not in the cloze, which fills it. */
  readonly cutPrompts?: Readonly<Record<Scoring, number>>;
  /** Scores by measure and question, in the same order for every model. The cloze has no letters. */
  readonly values: Partial<Readonly<Record<Measure, readonly number[]>>>;
}

export type Answers = Readonly<Record<string, TaskAnswers>>;

/**
 * Asks a model everything.
 *
 * @param checkpoint a run folder
 * @throws TrainerError `INTERRUPTED` at a signal
 */
export async function answersOf(checkpoint: string, { asked, cloze }: Material): Promise<Answers> {
  const scorer = await ScorerPool.open(openCheckpoint(checkpoint));
  const total = asked.reduce((sum, each) => sum + sizeOf(each), cloze.length);
  return untilAnswered(scorer, total, async ({ onProgress, signal }) => {
    const answers: Record<string, TaskAnswers> = {};
    let before = 0;
    const watch = { onProgress: (done: number) => onProgress(before + done), signal };
    for (const task of asked) {
      answers[task.name] = await askTask(scorer, task, watch);
      before += sizeOf(task);
    }
    answers[CLOZE] = await askCloze(scorer, cloze, watch);
    return answers;
  });
}

function sizeOf({ tasks }: NamedTask): number {
  return tasks.reduce((sum, { questions }) => sum + questions.length, 0);
}

/** Experts are not grouped by domain here, so that any domain will do. */
const DOMAIN = 0;

async function askTask(scorer: Scorer, { tasks }: NamedTask, watch: Watch): Promise<TaskAnswers> {
  const found = await ask(scorer, tasks, { ...watch, domain: DOMAIN });
  // Both scorings leave out a question with an option that is longer than the window.
  const unscored = new Set(found.unscored.map(({ question }) => question));
  const answers = found.answers.filter(({ question }) => !unscored.has(question));
  const scored = (scoring: Scoring) => answers.filter((answer) => answer.scoring === scoring);
  const [letters, continuations] = [scored('letter'), scored('continuation')];
  const { chance, majority, firstLongest } = baselinesOf(letters.map(({ question }) => question));
  return {
    chance,
    majority: majority.score,
    firstLongest,
    cutPrompts: { letter: cutShare(letters), continuation: cutShare(continuations) },
    values: {
      continuation: continuations.map(({ metrics }) => metrics.acc_norm!),
      letter: letters.map(({ metrics }) => metrics.acc!),
      likelihood: continuations.map(
        ({ question: { choices, answer }, logLikelihoods }) =>
          logLikelihoods[answer]!.sum / [...choices[answer]!].length,
      ),
    },
  };
}

function cutShare(answers: readonly Answer[]): number {
  return answers.filter(({ wasCut }) => wasCut).length / answers.length;
}

async function askCloze(scorer: Scorer, items: readonly ClozeItem[], watch: Watch): Promise<TaskAnswers> {
  const own = items.map((item) => ({ ...item, domain: DOMAIN }));
  const answers = await answerCloze(scorer, own, watch);
  const numTokens = continuationTokens(scorer.config.model.seqLen);
  return {
    chance: 1 / NUM_CHOICES,
    values: {
      continuation: answers.map(({ metrics }) => metrics.acc_mutual_info),
      likelihood: answers.map(({ answer, logLikelihoods }) => logLikelihoods[answer]!.sum / numTokens),
    },
  };
}
