import { realpathSync } from 'node:fs';
import { asTexts, objectIn } from './json-line.js';
import {
  askable,
  type Entry,
  LETTERS,
  lettersOf,
  type Question,
  type Questions,
  refusal,
} from './question.js';
import { asText, readBytes } from './read-text.js';

const EXPECTED =
  'each line is {"question": "..", "choices": ["..", ".."], "answer": "B"}; published benchmarks are for lm-evaluation-harness (docs/evaluation.md)';

/** The questions of a file. */
interface Task extends Questions {
  readonly file: string;
}

/** A task with its shots: the answered questions that begin each prompt. */
export interface AskedTask extends Task {
  readonly shots: readonly Question[];
}

/**
 * Reads JSON lines: `{"question", "choices": [2 to 7 texts], "answer", "subject"?}`. The answer is a letter or an index from 0.
 *
 * @throws TrainerError `BAD_INPUT` with file and line
 */
export function loadTask(file: string): Task {
  const lines = asText(file, readBytes(file)).split('\n');
  const entries = lines.flatMap((line, i) => (line.trim() === '' ? [] : [entryOf(`${file}:${i + 1}`, line)]));
  return { file, ...askable(file, entries) };
}

function entryOf(place: string, line: string): Entry {
  const doc = objectIn(place, line, EXPECTED);
  if (typeof doc?.question !== 'string') throw refusal(place, `has no text in "question"; ${EXPECTED}`);
  const choices = asTexts(doc.choices);
  if (choices === null) throw refusal(place, `has no list of texts in "choices"; ${EXPECTED}`);
  return {
    place,
    doc,
    text: doc.question,
    choices,
    answers: [doc.answer ?? []].flat().flatMap((answer) => answersOf(answer, place)),
    subject: typeof doc.subject === 'string' ? doc.subject : '',
  };
}

function answersOf(answer: unknown, place: string): number[] {
  if (typeof answer === 'string') return lettersOf(answer, place);
  if (Number.isInteger(answer) && Number(answer) >= 0) return [Number(answer)];
  throw refusal(place, `has no letter and no index from 0 in "answer" (A to ${LETTERS.at(-1)})`);
}

/**
 * Reads the shots of a task: the first questions of `dev`.
 *
 * @throws TrainerError `BAD_INPUT` if `dev` is the task itself, or has fewer questions
 */
export function loadShots(file: string, count: number, dev: string): readonly Question[] {
  const { questions } = loadTask(dev);
  if (realpathSync(dev) === realpathSync(file))
    throw refusal(dev, 'is also the task: name another file, or prompts would contain the answers');
  if (questions.length < count)
    throw refusal(
      dev,
      `has ${questions.length} questions for prompts to begin with: --shots ${count} needs more`,
    );
  return questions.slice(0, count);
}
