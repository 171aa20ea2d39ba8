/** The cursor that the charts share. */
export class Bus {
  readonly #listeners = new Set<(step: number | null) => void>();
  #cursor: number | null = null;

  /** Calls `listener` when the cursor moves to another step, which may be fractional, or leaves (null). */
  onCursor(listener: (step: number | null) => void): void {
    this.#listeners.add(listener);
  }

  setCursor(step: number | null): void {
    if (step === this.#cursor) return;
    this.#cursor = step;
    for (const listener of this.#listeners) listener(step);
  }
}
