import type { ExpertsReply } from '../../api-types.js';
import { fill, h, row, table } from '../dom.js';
import type { PageState } from '../page-state.js';
import { describeExpert, formatLoad, valuesOf } from './expert-load.js';
import { loadColor, ratioOfDropped, textOnLoad } from './load-color.js';

/** Tolerance at the end of scrolling, less than a row. */
const SCROLL_SLACK_PX = 8;

/** The load of every shown expert in one bucket: a row for each expert, a column for each layer. */
export class ExpertTable {
  readonly #scrolled = h.div({
    class: 'heat-table',
    tabindex: '0',
    role: 'region',
    'aria-label': 'load by expert',
    on: { scroll: () => this.#showMore() },
  });
  readonly #more = h.p({ class: 'hint' });
  readonly element = h.div({ class: 'heat-moment' }, this.#scrolled, this.#more);
  #numExperts = 0;

  constructor() {
    new ResizeObserver(() => this.#showMore()).observe(this.#scrolled);
  }

  set(data: ExpertsReply, load: PageState['load'], bucket: number): void {
    const { openLayers, numExperts } = data;
    this.element.hidden = openLayers.length === 0;
    this.#numExperts = numExperts;
    const values = openLayers.map((layer) => valuesOf(data, load, layer, bucket));
    const head = ['expert', ...openLayers.map((layer) => `layer ${layer}`)];
    const cell = (layer: number, index: number, expert: number) => {
      const lines = [`layer ${layer}, expert ${expert}`, ...describeExpert(data, { layer, expert, bucket })];
      return cellOf(lines.join('\n'), load, values[index]![expert] ?? 0);
    };
    const rows = Array.from({ length: numExperts }, (_, expert) =>
      row({}, String(expert), ...openLayers.map((layer, index) => cell(layer, index, expert))),
    );
    fill(this.#scrolled, table(head, rows));
    this.#showMore();
  }

  /** Marks that there is more to scroll, which not every browser shows. */
  #showMore(): void {
    const { scrollTop, clientHeight, scrollHeight } = this.#scrolled;
    const isAtEnd = scrollTop + clientHeight >= scrollHeight - SCROLL_SLACK_PX;
    this.#more.textContent = isAtEnd
      ? `of ${this.#numExperts} experts`
      : `scroll: ${this.#numExperts} experts ↓`;
    this.#more.hidden = scrollHeight <= clientHeight;
  }
}

function cellOf(title: string, load: PageState['load'], value: number): HTMLTableCellElement {
  const ratio = load === 'dropped' ? ratioOfDropped(value) : value;
  const style = { 'background-color': loadColor(ratio), color: textOnLoad(ratio) };
  return h.td({ title, style }, formatLoad(load, value));
}
