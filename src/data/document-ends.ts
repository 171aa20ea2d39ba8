import type { TokenIds } from './dataset.js';

const CHUNK = 2 ** 20;

/** Offsets behind the end-of-text tokens of a text, ascending: document i has the tokens from end i - 1 to end i. */
export function documentEnds(ids: TokenIds, endOfText: number): Float64Array {
  const ends: number[] = [];
  for (let begin = 0; begin < ids.length; begin += CHUNK) {
    const chunk = ids.slice(begin, Math.min(begin + CHUNK, ids.length));
    for (let at = chunk.indexOf(endOfText); at >= 0; at = chunk.indexOf(endOfText, at + 1))
      ends.push(begin + at + 1);
  }
  return Float64Array.from(ends);
}
