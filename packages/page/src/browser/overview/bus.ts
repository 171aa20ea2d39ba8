/** What the pictures of a page share: the step under the pointer, and what was clicked. */
export class Bus {
  readonly #listeners = new Set<(step: number | null) => void>();
  #cursor: number | null = null;

  /**
   * @param onRange steps that were dragged over; null for all again
   * @param onStep a step whose log lines are wanted
   */
  constructor(
    readonly onRange: (range: readonly [number, number] | null) => void,
    readonly onStep: (step: number) => void,
  ) {}

  /** Calls `listener` when the pointer is over another step (a fraction between two), or over none. */
  onCursor(listener: (step: number | null) => void): void {
    this.#listeners.add(listener);
  }

  setCursor(step: number | null): void {
    if (step === this.#cursor) return;
    this.#cursor = step;
    for (const listener of this.#listeners) listener(step);
  }
}
