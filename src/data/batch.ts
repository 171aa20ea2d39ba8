/** One rank's sequences of a step. B sequences of S tokens, row-major. */
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
}

/**
 * A validation batch. Every rank gets the same number of batches of the same shape; a batch is padded with
 * repeated sequences whose `valid` is 0, which must be left out of every sum and count.
 */
export interface ValidationBatch extends Batch {
  /** [B]; 1, or 0 for padding */
  readonly valid: Uint8Array;
}
