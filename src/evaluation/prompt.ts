import type { Format } from './load-task.js';
import { LETTERS, type Question } from './question.js';
import { subjectOf } from './subjects.js';

/**
 * How an option is scored: by its letter after a question that lists the options, or by its text after a question
 * that does not.
 */
export type Scoring = 'letter' | 'continuation';

/** The context of a question and the continuations that are scored. */
export interface Prompt {
  readonly context: string;
  /** Text that follows the context, by option. */
  readonly continuations: readonly string[];
}

/** Writes a prompt in the form of lm-evaluation-harness without a chat template. */
export function promptOf(
  question: Question,
  shots: readonly Question[],
  scoring: Scoring,
  format: Format,
): Prompt {
  const ask = (each: Question) => questionOf(each, scoring, format);
  const examples = shots.map((shot) => `${ask(shot)} ${choicesOf(shot, scoring)[shot.answer]}\n\n`);
  return {
    context: descriptionOf(question.subject, scoring, format) + examples.join('') + ask(question),
    continuations: choicesOf(question, scoring).map((choice) => ` ${choice}`),
  };
}

function choicesOf({ choices }: Question, scoring: Scoring): readonly string[] {
  return scoring === 'letter' ? choices.map((_, i) => LETTERS[i]!) : choices;
}

function questionOf({ text, choices }: Question, scoring: Scoring, format: Format): string {
  const isChinese =
    format === 'ceval' || format === 'cmmlu' || (format !== 'mmlu' && /\p{Script=Han}/u.test(text));
  const cue = isChinese ? '答案：' : 'Answer:';
  if (scoring === 'continuation') return `${isChinese ? '问题：' : 'Question: '}${text.trim()}\n${cue}`;
  return [text.trim(), ...choices.map((choice, i) => `${LETTERS[i]}. ${choice}`), cue].join('\n');
}

/** lm-evaluation-harness' for the benchmarks that it has; the others have none. */
function descriptionOf(subject: string, scoring: Scoring, format: Format): string {
  if (format !== 'ceval' && format !== 'cmmlu' && format !== 'mmlu') return '';
  const title = subjectOf(format, subject)?.title ?? subject.replaceAll('_', ' ');
  const isLetter = scoring === 'letter';
  switch (format) {
    case 'ceval':
      return isLetter
        ? `以下是中国关于${title}的单项选择题，请选出其中的正确答案。\n\n`
        : `以下是中国关于${title}的问题和答案。\n\n`;
    case 'cmmlu':
      return isLetter
        ? `以下是关于${title}的单项选择题，请直接给出正确答案的选项。\n\n`
        : `以下是关于${title}的问题和答案。\n\n`;
    case 'mmlu':
      return `The following are ${isLetter ? 'multiple choice ' : ''}questions (with answers) about ${title}.\n\n`;
  }
}
