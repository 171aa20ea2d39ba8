// Shapes: E experts.

/** Window of the running thresholds, in steps. */
const THRESHOLD_STEPS = 100;

/** Threshold below every score, which keeps all tokens. */
const NO_THRESHOLD = -1e9;

/**
 * Lowest score at which each expert of a layer keeps a token outside training: a running average over training steps of its cut,
 * which is the score of its C-th candidate. Equal on all ranks. An expert that has had no cut yet keeps all tokens.
 */
export class RunningThresholds {
  readonly thresholdE: Float32Array;
  /** Number of steps that each threshold averages, at most THRESHOLD_STEPS. */
  readonly #seenE: Float32Array;
  readonly state: ReadonlyMap<string, Float32Array>;
  /** Sum and number of each expert's cuts in the batches of the current step. */
  readonly #cutSumE: Float64Array;
  readonly #numCutsE: Int32Array;

  /** @param isLimited whether experts have a capacity */
  constructor(
    numExperts: number,
    private readonly isLimited: boolean,
  ) {
    this.thresholdE = new Float32Array(numExperts).fill(NO_THRESHOLD);
    this.#seenE = new Float32Array(numExperts);
    this.#cutSumE = new Float64Array(numExperts);
    this.#numCutsE = new Int32Array(numExperts);
    this.state = new Map([
      ['threshold', this.thresholdE],
      ['threshold_steps', this.#seenE],
    ]);
  }

  /** @param cutE score of each expert's C-th candidate in a batch, NaN if it had none */
  observe(cutE: Float32Array): void {
    if (!this.isLimited) return;
    cutE.forEach((cut, expert) => {
      if (Number.isNaN(cut)) return;
      this.#cutSumE[expert]! += cut;
      this.#numCutsE[expert]!++;
    });
  }

  /**
   * Moves the thresholds of experts with cuts towards the mean cut of the step's batches. Without a limit there are no
   * cuts, and thresholds from training with a limit are obsolete.
   */
  endStep(): void {
    if (!this.isLimited) {
      this.thresholdE.fill(NO_THRESHOLD);
      this.#seenE.fill(0);
    }
    this.#numCutsE.forEach((numCuts, expert) => {
      if (numCuts === 0) return;
      const cut = this.#cutSumE[expert]! / numCuts;
      const seen = Math.min(this.#seenE[expert]! + 1, THRESHOLD_STEPS);
      const before = seen === 1 ? 0 : this.thresholdE[expert]!;
      this.#seenE[expert] = seen;
      this.thresholdE[expert] = before + (cut - before) / seen;
    });
    this.skipStep();
  }

  /** Discards the batches of the step. If it is called without `endStep`, the step is not applied, and the state is unchanged. */
  skipStep(): void {
    this.#cutSumE.fill(0);
    this.#numCutsE.fill(0);
  }
}
