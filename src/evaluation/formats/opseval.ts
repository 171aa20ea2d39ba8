import path from 'node:path';
import { type Entry, LETTERS, lettersOf, refusal } from '../question.js';
import { asObject, asQuestion, choicesOf, parseJson } from './json.js';

/** The questions of a JSON file of OpsEval: a list of objects. @throws TrainerError `BAD_INPUT` naming the question */
export function* opsEvalEntries(file: string, contents: string): Generator<Entry> {
  const all = parseJson(file, contents);
  if (!Array.isArray(all)) throw refusal(file, 'is no OpsEval: a list of questions is expected');
  for (const [i, value] of all.entries()) {
    const id = asObject(value)?.id;
    const place = `${file}, question ${typeof id === 'string' ? JSON.stringify(id) : i}:`;
    const { doc, text } = asQuestion(place, value);
    const choices = choicesOf(place, doc);
    if (typeof doc.answer !== 'string') throw refusal(place, 'has no text in "answer"');
    yield {
      place,
      doc,
      choices,
      text: withoutOptions(text, choices),
      ...answerOf(doc.answer, place),
      subject: typeof id === 'string' ? id.replace(/-\d+$/, '') : path.basename(file, '.json'),
    };
  }
}

/** The published files have an answer that is a number. */
function answerOf(answer: string, place: string): Pick<Entry, 'answers' | 'unfit'> {
  return /^[A-Z, ]*$/.test(answer)
    ? { answers: lettersOf(answer, place) }
    : { answers: [], unfit: 'with an answer that is no letter' };
}

/** Some questions end with their options: "A: first", a line each. */
function withoutOptions(question: string, choices: readonly string[]): string {
  const listed = choices.map((choice, i) => `${LETTERS[i]}:${choice}`).join('');
  const wanted = [...listed.replaceAll(/\s/g, '')];
  let end = question.length;
  for (let next = wanted.pop(); next !== undefined; next = wanted.pop()) {
    while (end > 0 && /\s/.test(question[end - 1]!)) end--;
    if (!question.slice(0, end).endsWith(next)) return question;
    end -= next.length;
  }
  return question.slice(0, end).trimEnd();
}
