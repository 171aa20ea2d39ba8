import { VARIABLE } from './template-miner.js';

/** The part of a line that its template is made of, and what a pattern filter needs around it. */
export interface LineMessage {
  readonly before: string;
  readonly text: string;
  readonly after: string;
}

const KEYS = ['"msg":"', '"message":"'];

/**
 * The message of a line of JSON, as it is written there; of any other line all of it. The fields beside the message
 * would make a template for each step.
 */
export function messageOfLine(line: string): LineMessage {
  if (line.startsWith('{'))
    for (const key of KEYS) {
      // pino writes it last; one further ahead may be that of a nested error.
      const at = line.lastIndexOf(key);
      const from = at + key.length;
      const to = at < 0 ? -1 : endOfString(line, from);
      if (to >= 0) return { before: VARIABLE + key, text: line.slice(from, to), after: `"${VARIABLE}` };
    }
  return { before: '', text: line, after: '' };
}

/** Index of the quote that ends a JSON string; -1 if there is none. */
function endOfString(line: string, from: number): number {
  for (let at = from; at < line.length; at++) {
    if (line[at] === '\\') at++;
    else if (line[at] === '"') return at;
  }
  return -1;
}
