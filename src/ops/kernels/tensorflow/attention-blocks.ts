/** Shorter sequences are not split. */
const SHORTEST_SPLIT = 128;

/** Positions [begin, end) of a sequence, of queries or keys. */
export interface Block {
  readonly begin: number;
  readonly end: number;
}

/**
 * Halves a sequence: under the causal mask, the first half of the queries sees only the first half of the keys, and the
 * second half of the keys is seen only by the second half of the queries. Four blocks skip more masked scores but are
 * no faster, and sixteen take XLA 18 s to compile.
 */
export function halves(seqLen: number): Block[] {
  if (seqLen < SHORTEST_SPLIT) return [{ begin: 0, end: seqLen }];
  const half = Math.ceil(seqLen / 2);
  return [
    { begin: 0, end: half },
    { begin: half, end: seqLen },
  ];
}

/** Counts the scores per sequence and head in a forward pass: each block's queries by all keys up to its end. */
export function numScores(seqLen: number): number {
  return halves(seqLen).reduce((sum, { begin, end }) => sum + (end - begin) * end, 0);
}
