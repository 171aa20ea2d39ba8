import { parseLine } from '../../data/read/json-lines.js';
import { type Entry, LETTERS, lettersOf, refusal } from '../question.js';
import { asQuestion, choicesOf } from './json.js';

/**
 * Questions in JSON lines: `{"question", "choices": [2 to 7 texts], "answer", "subject"?}`. The answer is a letter
 * or an index from 0.
 *
 * @throws TrainerError `BAD_INPUT` with file and line
 */
export function* jsonLineEntries(file: string, lines: string): Generator<Entry> {
  for (const [i, line] of lines.split('\n').entries()) {
    if (line.trim() === '') continue;
    const place = `${file}:${i + 1}`;
    const { doc, text } = asQuestion(place, jsonOf(place, line));
    yield {
      place,
      doc,
      text,
      choices: choicesOf(place, doc),
      answers: [doc.answer ?? []].flat().flatMap((answer) => answersOf(answer, place)),
      subject: typeof doc.subject === 'string' ? doc.subject : '',
    };
  }
}

/** @throws TrainerError `BAD_INPUT` */
export function jsonOf(place: string, line: string): unknown {
  const { value, problem } = parseLine(line);
  if (problem !== undefined) throw refusal(place, problem);
  return value;
}

function answersOf(answer: unknown, place: string): number[] {
  if (typeof answer === 'string') return lettersOf(answer, place);
  if (Number.isInteger(answer) && Number(answer) >= 0) return [Number(answer)];
  throw refusal(place, `has no letter and no index from 0 in "answer" (A to ${LETTERS.at(-1)})`);
}
