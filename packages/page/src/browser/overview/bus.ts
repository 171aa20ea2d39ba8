/** Connects the charts: a shared cursor, zoom, and clicks on a step. */
export class Bus {
  readonly #listeners = new Set<(step: number | null) => void>();
  #cursor: number | null = null;

  /**
   * @param onRange zooms to a range of steps; null resets
   * @param onStep shows what was recorded of a step
   */
  constructor(
    readonly onRange: (range: readonly [number, number] | null) => void,
    readonly onStep: (step: number) => void,
  ) {}

  /** Calls `listener` when the cursor moves to another step (may be fractional), or leaves: null. */
  onCursor(listener: (step: number | null) => void): void {
    this.#listeners.add(listener);
  }

  setCursor(step: number | null): void {
    if (step === this.#cursor) return;
    this.#cursor = step;
    for (const listener of this.#listeners) listener(step);
  }
}
