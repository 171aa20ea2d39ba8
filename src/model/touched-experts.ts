/** An expert of this rank that has tokens in a step. */
export interface TouchedExpert {
  /** Prefix of the names of the expert's parameters, e.g. `layers.3.experts.5`. */
  readonly name: string;
  /** Number of updates that the expert has had before. */
  readonly updates: number;
}

/**
 * The experts of a sparse layer that have tokens in a step, for `train.expertUpdate: touched`. Every rank knows all
 * such experts from the counts that the router gathers, so the replicas of an expert agree.
 */
export class TouchedExperts {
  /** Number of updates of each expert by global id; not a copy: loading a checkpoint writes into it. */
  readonly updatesE: Float32Array;
  readonly #touchedE: Uint8Array;

  constructor(numExperts: number) {
    this.updatesE = new Float32Array(numExperts);
    this.#touchedE = new Uint8Array(numExperts);
  }

  /**
   * Takes note of a micro-batch.
   *
   * @param keptOfRank choices that each expert keeps, by rank
   */
  add(keptOfRank: readonly Int32Array[]): void {
    for (const keptE of keptOfRank)
      keptE.forEach((kept, expert) => {
        if (kept > 0) this.#touchedE[expert] = 1;
      });
  }

  has(expert: number): boolean {
    return this.#touchedE[expert] === 1;
  }

  endStep(): void {
    this.#touchedE.forEach((touched, expert) => {
      this.updatesE[expert]! += touched;
    });
    this.skipStep();
  }

  /** Ends a step that is not applied. */
  skipStep(): void {
    this.#touchedE.fill(0);
  }
}
