import { parseLine } from '../data/read/json-lines.js';
import { refusal } from './question.js';

type Fields = Readonly<Record<string, unknown>>;

/**
 * Returns the object in a line of JSON; null if it is another value.
 *
 * @param expected description of a valid line, for the error
 * @throws TrainerError `BAD_INPUT` if the line is not JSON
 */
export function objectIn(place: string, line: string, expected: string): Fields | null {
  const { value, problem } = parseLine(line);
  if (problem !== undefined) throw refusal(place, `${problem}; ${expected}`);
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : null;
}

/** Returns the value if it is a list of texts, else null. */
export function asTexts(value: unknown): readonly string[] | null {
  return Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : null;
}
