import { refusal } from '../question.js';

/** @throws TrainerError `BAD_INPUT` with the line of the mistake, where the parser tells it */
export function parseJson(file: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const { message } = error as Error;
    const position = /position (\d+)/.exec(message)?.[1];
    const line = position === undefined ? '' : `:${text.slice(0, Number(position)).split('\n').length}`;
    throw refusal(`${file}${line}`, `is no JSON (${message.replaceAll(/\s+/g, ' ').slice(0, 100)})`, error);
  }
}

type Fields = Readonly<Record<string, unknown>>;

export function asObject(value: unknown): Fields | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : null;
}

/** A list of texts, or null. */
export function asTexts(value: unknown): readonly string[] | null {
  return Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : null;
}

/** An object with a question. @throws TrainerError `BAD_INPUT` */
export function asQuestion(place: string, value: unknown): { readonly doc: Fields; readonly text: string } {
  const doc = asObject(value);
  if (typeof doc?.question !== 'string') throw refusal(place, 'has no text in "question"');
  return { doc, text: doc.question };
}

/** Its options. @throws TrainerError `BAD_INPUT` */
export function choicesOf(place: string, doc: Fields): readonly string[] {
  const choices = asTexts(doc.choices);
  if (choices === null) throw refusal(place, 'has no list of texts in "choices"');
  return choices;
}
