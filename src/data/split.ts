/** A piece of training text: a chunk of a longer work, or a short text that stands alone. */
export interface Document {
  readonly text: string;
  /** Package and file of the text. */
  readonly source: string;
}

/** The two parts of every domain; neither has near-duplicates of the other's documents. */
export type Split = 'train' | 'validation';

export const SPLITS: readonly Split[] = ['train', 'validation'];

/** Every draw is a multiple of this number. */
const DRAW_STEP = 2 ** -32;

/**
 * Returns the share below which a draw sends a document to validation: the requested one, adjusted only as far as
 * needed to give each split a document if there are two or more, as chance may leave a split empty.
 */
export function splitShare(draws: Iterable<number>, share: number): number {
  let count = 0;
  let least = Number.POSITIVE_INFINITY;
  let most = 0;
  for (const draw of draws) {
    count++;
    least = Math.min(least, draw);
    most = Math.max(most, draw);
  }
  if (count < 2) return share;
  if (least >= share) return least + DRAW_STEP / 2;
  return Math.min(most, share);
}
