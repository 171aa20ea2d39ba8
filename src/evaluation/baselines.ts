import { LETTERS, type Question } from './question.js';
import { indexOfMost } from './statistics.js';

/** Scores that are reached without a model. */
export interface Baselines {
  /** Mean of 1 / options. */
  readonly chance: number;
  /** The letter that is most often right, and the score of always taking it. */
  readonly majority: { readonly letter: string; readonly score: number };
  /** The score of taking the longest option, the first of several. */
  readonly firstLongest: number;
}

export function baselinesOf(questions: readonly Question[]): Baselines {
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
