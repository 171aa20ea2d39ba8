import { LETTERS, type Question } from './question.js';

/**
 * How an option is scored: by its letter, after a question that lists the options; or by its text, after a
 * question that does not.
 */
export type Scoring = 'letter' | 'continuation';

/** The context of a question and the continuations that are scored. */
export interface Prompt {
  readonly context: string;
  /** Text that follows the context, by option. */
  readonly continuations: readonly string[];
}

/** Writes a prompt as lm-evaluation-harness does without a chat template. */
export function promptOf(question: Question, shots: readonly Question[], scoring: Scoring): Prompt {
  const ask = (each: Question) => questionOf(each, scoring);
  const examples = shots.map((shot) => `${ask(shot)} ${choicesOf(shot, scoring)[shot.answer]}\n\n`);
  return {
    context: examples.join('') + ask(question),
    continuations: choicesOf(question, scoring).map((choice) => ` ${choice}`),
  };
}

function choicesOf({ choices }: Question, scoring: Scoring): readonly string[] {
  return scoring === 'letter' ? choices.map((_, i) => LETTERS[i]!) : choices;
}

function questionOf({ text, choices }: Question, scoring: Scoring): string {
  const isChinese = /\p{Script=Han}/u.test(text);
  const cue = isChinese ? '答案：' : 'Answer:';
  if (scoring === 'continuation') return `${isChinese ? '问题：' : 'Question: '}${text.trim()}\n${cue}`;
  return [text.trim(), ...choices.map((choice, i) => `${LETTERS[i]}. ${choice}`), cue].join('\n');
}
