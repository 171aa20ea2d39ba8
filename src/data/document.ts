/** A piece of training text: a chunk of a longer work, or a short text that stands alone. */
export interface Document {
  readonly text: string;
  /** Package and file the text comes from. */
  readonly source: string;
}

/** The two parts of every domain; neither has near-duplicates of the other's documents. */
export type Split = 'train' | 'validation';

export const SPLITS: readonly Split[] = ['train', 'validation'];
