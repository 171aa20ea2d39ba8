import { refusal } from '../data/read/span.js';

export { refusal };

export const LETTERS = 'ABCDEFG';
/** An answer may be any letter: a question with more options than `LETTERS` is left out, and is no error. */
const ALL_LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';

/** A question with one right answer. */
export interface Question {
  /** File and line, or file and id, for messages. */
  readonly place: string;
  /** Index among all questions of the file, including questions that are left out. */
  readonly docId: number;
  /** The question as it stands in the file. */
  readonly doc: Readonly<Record<string, unknown>>;
  readonly text: string;
  /** The options, 2 to 7. */
  readonly choices: readonly string[];
  /** Index of the right choice. */
  readonly answer: number;
  readonly subject: string;
}

/** A question as it stands in a file; it may have no right answer or several. */
export interface Entry extends Omit<Question, 'docId' | 'answer'> {
  /** Indices of the right choices. */
  readonly answers: readonly number[];
}

export interface Questions {
  readonly questions: readonly Question[];
  /** Numbers of questions that were left out, by reason. */
  readonly leftOut: Readonly<Record<string, number>>;
}

/**
 * Keeps the questions that have one right answer among 2 to 7 options.
 *
 * @throws TrainerError `BAD_INPUT` if an answer names an option that does not exist, or no question is kept
 */
export function askable(file: string, entries: readonly Entry[]): Questions {
  const questions: Question[] = [];
  const leftOut: Record<string, number> = {};
  for (const [docId, { answers, ...entry }] of entries.entries()) {
    const reason = reasonAgainst(entry, answers);
    if (reason === null) questions.push({ ...entry, docId, answer: answers[0]! });
    else leftOut[reason] = (leftOut[reason] ?? 0) + 1;
  }
  if (entries.length === 0) throw refusal(file, 'has no questions');
  if (questions.length === 0) throw refusal(file, `has no question to ask: ${describeLeftOut(leftOut)}`);
  return { questions, leftOut };
}

/** Describes what was left out: "3 with several right answers, 1 without an answer". */
export function describeLeftOut(leftOut: Questions['leftOut']): string {
  return Object.entries(leftOut)
    .map(([reason, count]) => `${count} ${reason}`)
    .join(', ');
}

function reasonAgainst(
  { place, text, choices }: Pick<Question, 'place' | 'text' | 'choices'>,
  answers: readonly number[],
): string | null {
  if (choices.length < 2 || choices.length > LETTERS.length)
    return `with other than 2 to ${LETTERS.length} options`;
  for (const answer of answers)
    if (answer >= choices.length)
      throw refusal(
        place,
        `has ${choices.length} options, and its answer is ${ALL_LETTERS[answer] ?? answer + 1}`,
      );
  if (answers.length === 0) return 'without an answer';
  if (answers.length > 1) return 'with several right answers';
  if (text.trim() === '' || choices.some((choice) => choice.trim() === ''))
    return 'with an empty question or option';
  return null;
}

/**
 * Parses "C", "C,D,F" or "CDF" to indices.
 *
 * @throws TrainerError `BAD_INPUT` if the text is anything else
 */
export function lettersOf(text: string, place: string): number[] {
  const letters = text.replaceAll(/[\s,]/g, '');
  const indices = [...letters].map((letter) => ALL_LETTERS.indexOf(letter));
  if (indices.includes(-1))
    throw refusal(place, `has answer ${JSON.stringify(text.slice(0, 40))}; a letter from A on is expected`);
  return [...new Set(indices)];
}
