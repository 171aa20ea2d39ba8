/** Shorter sequences are one block. */
const SHORTEST_SPLIT = 128;

/** Positions [begin, end) of a sequence: queries that are worked on together, or keys. */
export interface Block {
  readonly begin: number;
  readonly end: number;
}

/**
 * The causal mask leaves the first half of the queries the first half of the keys, and the second half of the keys the
 * second half of the queries. Four blocks leave out more of what the mask hides but are no faster, and sixteen take XLA
 * 18 s to compile.
 */
export function halves(seqLen: number): Block[] {
  if (seqLen < SHORTEST_SPLIT) return [{ begin: 0, end: seqLen }];
  const half = Math.ceil(seqLen / 2);
  return [
    { begin: 0, end: half },
    { begin: half, end: seqLen },
  ];
}

/** Scores that are worked out for a sequence and head in a forward: of each block's queries by all keys before its end. */
export function numScores(seqLen: number): number {
  return halves(seqLen).reduce((sum, { begin, end }) => sum + (end - begin) * end, 0);
}
