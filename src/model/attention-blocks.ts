/** Queries that are worked on together. */
const BLOCK = 64;

/** Queries [begin, end) of a sequence; the causal mask leaves them keys before `end`. */
export interface QueryBlock {
  readonly begin: number;
  readonly end: number;
}

export function queryBlocks(seqLen: number): QueryBlock[] {
  return Array.from({ length: Math.ceil(seqLen / BLOCK) }, (_, i) => ({
    begin: i * BLOCK,
    end: Math.min((i + 1) * BLOCK, seqLen),
  }));
}

/** Scores that are worked out for a sequence and head: of each block's queries by all keys before its end. */
export function numScores(seqLen: number): number {
  return queryBlocks(seqLen).reduce((sum, { begin, end }) => sum + (end - begin) * end, 0);
}
