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
 * A batch of a validation. Every rank gets the same number of batches of the same shape; where sequences run out, a
 * batch is filled with repetitions whose `valid` is 0. They must be left out of every sum and every count.
 */
export interface ValidationBatch extends Batch {
  /** [B]; 1 for a sequence that counts, 0 for a filler */
  readonly valid: Uint8Array;
}
