import type { TokenRange } from './sequences.js';

/** One rank's sequences of a step: B sequences of S tokens, row-major. */
export interface Batch {
  /** B */
  readonly numSequences: number;
  /** S */
  readonly seqLen: number;
  /** [B*S] */
  readonly tokenIds: Int32Array;
  /** [B*S]; the token that follows each of `tokenIds` */
  readonly targets: Int32Array;
  /** [B]; position of each sequence's domain in the configuration */
  readonly domains: Int32Array;
  /** Layout of samples that are packed into the sequences; undefined if each sequence is one text, whose targets all count. */
  readonly packed?: PackedTokens | undefined;
}

export interface PackedTokens {
  /** [B*S]; position of each token in its sample, counted from 0 */
  readonly positions: Int32Array;
  /** [B*S]; 1 where the target counts in the loss, else 0 */
  readonly counted: Uint8Array;
  /** Targets that count in the batches of all ranks together. */
  readonly numCounted: number;
}

/** Counts the targets of each sequence that count in the loss. */
export function countedTargets({ numSequences, seqLen, packed }: Batch): Int32Array {
  return Int32Array.from({ length: numSequences }, (_, row) =>
    packed === undefined
      ? seqLen
      : packed.counted.subarray(row * seqLen, (row + 1) * seqLen).reduce((sum, each) => sum + each, 0),
  );
}

/**
 * A validation batch. Every rank gets the same number of batches of the same shape; a batch is padded with
 * repeated sequences whose `valid` is 0, which must be left out of every sum and count.
 */
export interface ValidationBatch extends Batch {
  /** [B]; 1, or 0 for padding */
  readonly valid: Uint8Array;
  /** [B]; index of each sequence among all sequences of a validation */
  readonly sequences: Int32Array;
  /** [B]; tokens of each sequence, or of its packed samples, in the validation text of its domain */
  readonly ranges: readonly (readonly TokenRange[])[];
}
