import { type Entry, refusal } from '../question.js';
import { asObject, asQuestion, parseJson } from './json.js';

/** The questions of TeleQnA.txt: an object of `question 0`, `question 1`, ... @throws TrainerError `BAD_INPUT` naming the question */
export function* teleQnaEntries(file: string, contents: string): Generator<Entry> {
  const all = asObject(parseJson(file, contents));
  if (all === null) throw refusal(file, 'is no TeleQnA: an object of questions is expected');
  for (const [id, value] of Object.entries(all)) {
    const place = `${file}, ${id}:`;
    const { doc, text } = asQuestion(place, value);
    const choices: string[] = [];
    for (let option = doc['option 1']; option !== undefined; option = doc[`option ${choices.length + 1}`]) {
      if (typeof option !== 'string') throw refusal(place, `has no text in "option ${choices.length + 1}"`);
      choices.push(option);
    }
    // The number counts: a few texts differ from the option's.
    const number = typeof doc.answer === 'string' ? /^option (\d+)\s*:/.exec(doc.answer)?.[1] : undefined;
    if (number === undefined || number === '0')
      throw refusal(place, 'has no "answer" of the form "option 2: text"');
    const subject = typeof doc.category === 'string' ? doc.category : '';
    yield { place, doc, text, choices, answers: [Number(number) - 1], subject };
  }
}

/** Whether an object has TeleQnA's keys. */
export function isTeleQna(value: Readonly<Record<string, unknown>>): boolean {
  return Object.keys(value).some((key) => /^question \d+$/.test(key));
}
