import { groupBy } from '../group-by.js';
import type { Answer } from './ask.js';
import type { Scoring } from './prompt.js';
import type { Question } from './question.js';
import { LETTERS } from './question.js';
import { indexOfMost, type Score, scoreOf } from './statistics.js';

export interface ScoringSummary {
  /** Scores by measure: acc, and for continuations also acc_norm, acc_bytes, acc_mutual_info. */
  readonly scores: Readonly<Record<string, Score>>;
  /** Share of the prompts that the model's window cut. */
  readonly cutPrompts: number;
}

export interface GroupSummary {
  readonly n: number;
  readonly baselines: Baselines;
  /** Summaries by scoring, without those in which no question was scored. */
  readonly scorings: Partial<Readonly<Record<Scoring, ScoringSummary>>>;
}

export interface NamedSummary extends GroupSummary {
  readonly name: string;
}

export function summaryOf(answers: readonly Answer[]): GroupSummary {
  const questions = new Set<Question>(answers.map(({ question }) => question));
  const scorings: Partial<Record<Scoring, ScoringSummary>> = {};
  for (const [scoring, scored] of groupBy(answers, (answer) => answer.scoring)) {
    const files = [...groupBy(scored, ({ task }) => task.file).values()];
    const names = Object.keys(scored[0]!.metrics);
    scorings[scoring] = {
      scores: Object.fromEntries(
        names.map((name) => [name, scoreOf(files.map((of) => of.map(({ metrics }) => metrics[name]!)))]),
      ),
      cutPrompts: scored.filter(({ wasCut }) => wasCut).length / scored.length,
    };
  }
  return { n: questions.size, baselines: baselinesOf([...questions]), scorings };
}

/** Returns a summary of each subject, in order of first appearance. */
export function subjectSummaries(answers: readonly Answer[]): NamedSummary[] {
  const bySubject = groupBy(answers, ({ question }) => question.subject);
  return [...bySubject].map(([name, of]) => ({ name, ...summaryOf(of) }));
}

/** Scores that are reached without a model. */
export interface Baselines {
  /** Mean of 1 / options. */
  readonly chance: number;
  /** The letter that is most often right, and the score of always taking it. */
  readonly majority: { readonly letter: string; readonly score: number };
  /** The score of always taking the longest option; on a tie, the first one. */
  readonly firstLongest: number;
}

function baselinesOf(questions: readonly Question[]): Baselines {
  const n = questions.length;
  const counts = [...LETTERS].map((_, i) => questions.filter(({ answer }) => answer === i).length);
  const most = indexOfMost(counts);
  const chance = questions.reduce((sum, { choices }) => sum + 1 / choices.length, 0) / n;
  const longest = questions.filter(
    ({ choices, answer }) => indexOfMost(choices.map((choice) => [...choice].length)) === answer,
  );
  return {
    chance,
    majority: { letter: LETTERS[most]!, score: counts[most]! / n },
    firstLongest: longest.length / n,
  };
}
