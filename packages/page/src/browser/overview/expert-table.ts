import type { ExpertsReply } from '../../api-types.js';
import { fill, h } from '../dom.js';
import type { PageState } from '../page-state.js';
import { describeExpert, formatLoad, valuesOf } from './expert-load.js';
import { loadColor, ratioOfDropped, textOnLoad } from './load-color.js';

/** Less than a row. */
const SCROLL_SLACK_PX = 8;

/** The load of every shown expert in one bucket: a row for each expert, a column for each layer. */
export class ExpertTable {
  readonly element: HTMLElement;
  readonly #scrolled = h('div', {
    class: 'heat-table',
    tabindex: '0',
    role: 'region',
    'aria-label': 'load by expert',
  });
  readonly #more = h('p', { class: 'hint' });
  #numExperts = 0;

  constructor() {
    this.element = h('div', { class: 'heat-moment' }, this.#scrolled, this.#more);
    this.#scrolled.addEventListener('scroll', () => this.#showMore());
    new ResizeObserver(() => this.#showMore()).observe(this.#scrolled);
  }

  set(data: ExpertsReply, load: PageState['load'], bucket: number): void {
    const { openLayers, numExperts } = data;
    this.element.hidden = openLayers.length === 0;
    this.#numExperts = numExperts;
    const values = openLayers.map((layer) => valuesOf(data, load, layer, bucket));
    const head = ['expert', ...openLayers.map((layer) => `layer ${layer}`)];
    const rows = Array.from({ length: numExperts }, (_, expert) =>
      h(
        'tr',
        {},
        h('th', { scope: 'row' }, String(expert)),
        ...openLayers.map((layer, index) =>
          cellOf(
            [`layer ${layer}, expert ${expert}`, ...describeExpert(data, { layer, expert, bucket })].join(
              '\n',
            ),
            load,
            values[index]![expert] ?? 0,
          ),
        ),
      ),
    );
    fill(
      this.#scrolled,
      h(
        'table',
        {},
        h('thead', {}, h('tr', {}, ...head.map((text) => h('th', { scope: 'col' }, text)))),
        h('tbody', {}, ...rows),
      ),
    );
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

function cellOf(title: string, load: PageState['load'], value: number): HTMLElement {
  const cell = h('td', { title }, formatLoad(load, value));
  const ratio = load === 'dropped' ? ratioOfDropped(value) : value;
  cell.style.backgroundColor = loadColor(ratio);
  cell.style.color = textOnLoad(ratio);
  return cell;
}
