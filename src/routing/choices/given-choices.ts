// Shapes: T tokens of a rank, K choices of a token.

export const KEPT = 0;
export const OVER_CAPACITY = 1;
export const NOT_CHOSEN = 2;

/** Choices that replace a router's choices, for the tokens of a batch of one rank. */
export interface GivenChoices {
  /** K; equal on all ranks, as is whether there are weights. */
  readonly numChoices: number;
  /** Global expert id of each choice, row-major [T, K]; -1 for none. */
  readonly chosenTK: Int32Array;
  /** KEPT, OVER_CAPACITY or NOT_CHOSEN, [T, K]. */
  readonly outcomesTK: Uint8Array;
  /** Weight of each choice, [T, K]; null means 1 for every choice. */
  readonly weightsTK: Float32Array | null;
  /**
   * Whether the choices were recorded, perhaps from this router: a token with the same choices as the router's then has
   * the router's weights, and the router's losses are kept. If false, nothing of the router counts.
   */
  readonly areRecorded: boolean;
}
