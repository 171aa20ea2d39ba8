/** Shorter sequences are one block. */
const SHORTEST_SPLIT = 128;

/** Queries [begin, end) of a sequence, worked on together; the causal mask leaves them keys before `end`. */
export interface QueryBlock {
  readonly begin: number;
  readonly end: number;
}

/** Two halves: four blocks leave out more of what the mask hides but are no faster, and sixteen take XLA 18 s to compile. */
export function queryBlocks(seqLen: number): QueryBlock[] {
  if (seqLen < SHORTEST_SPLIT) return [{ begin: 0, end: seqLen }];
  const half = Math.ceil(seqLen / 2);
  return [
    { begin: 0, end: half },
    { begin: half, end: seqLen },
  ];
}

/** Scores that are worked out for a sequence and head: of each block's queries by all keys before its end. */
export function numScores(seqLen: number): number {
  return queryBlocks(seqLen).reduce((sum, { begin, end }) => sum + (end - begin) * end, 0);
}
