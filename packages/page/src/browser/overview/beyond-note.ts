import { button } from '../dom.js';
import type { Far } from './outliers.js';

/** Shows how many outliers a chart has; each click opens the step of the next one, the farthest first. */
export class BeyondNote {
  readonly element = button('', () => this.#openNext(), {
    class: 'bare beyond',
    title: 'opens the step of the farthest; again, that of the next',
    hidden: true,
  });
  /** Positions of the values above the scale. */
  xs: readonly number[] = [];
  /** The farthest outlier first; one for each x value. */
  #far: readonly Far[] = [];
  #opened = 0;

  /** @param onOpen called with an x value */
  constructor(
    private readonly format: (value: number) => string,
    private readonly onOpen: (x: number) => void,
  ) {}

  /** @param high upper end of the scale */
  set(far: readonly Far[], high: number): void {
    const sorted = far.toSorted((a, b) => Math.abs(b.value) - Math.abs(a.value));
    const places = sorted.filter(({ x }, index) => sorted.findIndex((each) => each.x === x) === index);
    if (places.length !== this.#far.length) this.#opened = 0;
    this.#far = places;
    this.xs = [...new Set(far.filter(({ value }) => value > high).map(({ x }) => x))];
    const [farthest] = places;
    this.element.hidden = farthest === undefined;
    const count = `${places.length} outlier${places.length === 1 ? '' : 's'}`;
    this.element.textContent = farthest ? `${count}, to ${this.format(farthest.value)}` : '';
  }

  #openNext(): void {
    const next = this.#far[this.#opened++ % this.#far.length];
    if (next !== undefined) this.onOpen(next.x);
  }
}
