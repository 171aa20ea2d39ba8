import { button } from '../dom.js';

/** A value beyond the scale of a chart. */
export interface Far {
  readonly x: number;
  readonly value: number;
}

/** Says how many outliers a chart has; a click opens the step of the farthest, and of the next one at each further click. */
export class BeyondNote {
  readonly element = button('', () => this.#openNext(), { class: 'bare beyond' });
  /** Positions of the values above the scale. */
  xs: readonly number[] = [];
  /** The farthest first; one for each x value. */
  #far: readonly Far[] = [];
  #opened = 0;

  /** @param onOpen called with an x value */
  constructor(
    private readonly format: (value: number) => string,
    private readonly onOpen: (x: number) => void,
  ) {
    this.element.hidden = true;
  }

  set(far: readonly Far[], above: readonly number[]): void {
    const sorted = far.toSorted((a, b) => Math.abs(b.value) - Math.abs(a.value));
    const places = sorted.filter(({ x }, index) => sorted.findIndex((each) => each.x === x) === index);
    if (places.length !== this.#far.length) this.#opened = 0;
    this.#far = places;
    this.xs = [...new Set(above)];
    this.element.hidden = places.length === 0;
    const [farthest] = places;
    this.element.textContent =
      farthest === undefined
        ? ''
        : `${places.length} outlier${places.length === 1 ? '' : 's'}, to ${this.format(farthest.value)}`;
    this.element.title = 'opens the step of the farthest; again, that of the next';
  }

  #openNext(): void {
    const next = this.#far[this.#opened % this.#far.length];
    this.#opened++;
    if (next !== undefined) this.onOpen(next.x);
  }
}
