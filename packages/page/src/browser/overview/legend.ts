import { h, refill, swatch } from '../dom.js';
import { toggled } from '../page-state.js';
import type { ChartSeries } from './chart-data.js';

/** A longer label takes two columns. */
const SHORT_LABEL = 13;

/** The legend of a chart: a button for each line, which hides or shows it, with its value. */
export class Legend {
  readonly element = h.div({ class: 'legend' });
  readonly #place = h.span({ class: 'place' });
  #values: readonly HTMLElement[] = [];
  #labels: readonly string[] = [];
  #hidden: readonly string[] = [];

  /** @param onToggle called with the labels of all lines that are to be hidden */
  constructor(private readonly onToggle: (labels: readonly string[]) => void) {
    this.element.append(this.#place);
  }

  /** Redraws the entries only if the lines have changed, as one of them may have the focus. */
  set(series: readonly ChartSeries[], hidden: readonly string[]): void {
    this.#hidden = hidden;
    const shown = series.map(({ label, color, dash }) => [label, color, dash]);
    refill(this.element, shown, () => {
      this.#labels = series.map(({ label }) => label);
      this.#values = series.map(() => h.b());
      return [this.#place, ...series.map((each, index) => this.#entryOf(each, this.#values[index]!))];
    });
    for (const [index, entry] of [...this.element.querySelectorAll('button')].entries())
      entry.setAttribute('aria-pressed', String(!hidden.includes(this.#labels[index]!)));
  }

  /** @param isCursor whether the values are those at the cursor, not the last ones */
  show(place: string, isCursor: boolean, values: readonly string[]): void {
    this.#place.textContent = place;
    this.#place.className = isCursor ? 'place at' : 'place';
    for (const [index, value] of values.entries()) this.#values[index]!.textContent = value;
  }

  #entryOf({ label, color, dash }: ChartSeries, value: HTMLElement): HTMLElement {
    return h.button(
      {
        type: 'button',
        class: label.length > SHORT_LABEL ? 'bare entry is-long' : 'bare entry',
        title: `${label}: click to hide or show it, Shift-click to show it alone`,
        on: { click: (event: Event) => this.#toggle(label, event instanceof MouseEvent && event.shiftKey) },
      },
      swatch(color, dash === undefined ? 'swatch' : 'swatch dashed'),
      h.span({ class: 'label' }, label),
      value,
    );
  }

  #toggle(label: string, isAlone: boolean): void {
    const others = this.#labels.filter((each) => each !== label);
    const isShownAlone = !this.#hidden.includes(label) && others.every((each) => this.#hidden.includes(each));
    if (isAlone) this.onToggle(isShownAlone ? [] : others);
    else this.onToggle(toggled(this.#hidden, label));
  }
}
