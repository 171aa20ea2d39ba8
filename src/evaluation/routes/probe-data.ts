/** The same text as some steps of a training routed it (train.probeRoutes); also JSON that pages read. */
export interface ProbeData {
  /** Name of the run, or of the file. */
  readonly name: string;
  readonly numExperts: number;
  /** Experts that are open to each domain. */
  readonly expertsOfDomain: Readonly<Record<string, readonly number[]>>;
  /** Sparse layers, ascending. */
  readonly layers: readonly number[];
  /** Recorded steps, ascending; step 0 is the untrained model. */
  readonly steps: readonly number[];
  readonly texts: readonly ProbeText[];
  /**
   * Kept choices, shape [steps, layers]. A string has the experts of each token of all texts in order: tokens are
   * separated by spaces, and the experts of a token by commas.
   */
  readonly experts: readonly (readonly string[])[];
}

export interface ProbeText {
  readonly domain: string;
  readonly ids: readonly number[];
  /** Text of each token as from `textsOf`; null without a tokenizer. */
  readonly text: readonly string[] | null;
}
