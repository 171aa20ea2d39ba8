import type { Batch } from './batch.js';
import type { TokenIds } from './dataset.js';
import type { TokenRange } from './sequences.js';

const CHUNK = 2 ** 20;

/** Returns the offsets after each end-of-text token, ascending: document i lies between ends i - 1 and i. */
export function documentEnds(ids: TokenIds, endOfText: number): Float64Array {
  const ends: number[] = [];
  for (let begin = 0; begin < ids.length; begin += CHUNK) {
    const chunk = ids.slice(begin, Math.min(begin + CHUNK, ids.length));
    for (let at = chunk.indexOf(endOfText); at >= 0; at = chunk.indexOf(endOfText, at + 1))
      ends.push(begin + at + 1);
  }
  return Float64Array.from(ends);
}

/**
 * Returns the document's index at each position of a sequence; padding counts to the last packed sample's document.
 *
 * @param ends ends of the documents of the sequence's text (documentEnds)
 * @param row index of the sequence in the batch
 * @param ranges tokens of the sequence, or of its packed samples, in that text
 */
export function documentsOf(
  ends: Float64Array,
  { seqLen, packed }: Pick<Batch, 'seqLen' | 'packed'>,
  row: number,
  ranges: readonly TokenRange[],
): Int32Array {
  let range = 0;
  return Int32Array.from({ length: seqLen }, (_, s) => {
    const position = packed?.positions[row * seqLen + s] ?? s;
    if (s > 0 && position === 0) range = Math.min(range + 1, ranges.length - 1);
    return indexAbove(ends, ranges[range]!.begin + position);
  });
}

/** Returns the number of values in an ascending list that are at most `value`. */
function indexAbove(rising: Float64Array, value: number): number {
  let low = 0;
  let high = rising.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rising[middle]! <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}
