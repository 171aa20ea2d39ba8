import type { ExpertsReply } from '../../api-types.js';
import { fill, h } from '../dom.js';
import { formatShare } from '../format.js';
import { overFair } from './expert-load.js';
import { loadColor, textOnLoad } from './load-color.js';

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

  set({ openLayers, numExperts, kept }: ExpertsReply, bucket: number): void {
    this.element.hidden = openLayers.length === 0;
    this.#numExperts = numExperts;
    const loads = openLayers.map((_, index) => overFair(kept[index]?.[bucket]));
    const head = ['expert', ...openLayers.map((layer) => `layer ${layer}`)];
    const rows = Array.from({ length: numExperts }, (_, expert) =>
      h(
        'tr',
        {},
        h('th', { scope: 'row' }, String(expert)),
        ...openLayers.map((layer, index) => cellOf(layer, expert, loads[index][expert] ?? 0, numExperts)),
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

  /** Not every browser shows that there is something to scroll. */
  #showMore(): void {
    const { scrollTop, clientHeight, scrollHeight } = this.#scrolled;
    const isAtEnd = scrollTop + clientHeight >= scrollHeight - SCROLL_SLACK_PX;
    this.#more.textContent = isAtEnd
      ? `of ${this.#numExperts} experts`
      : `scroll: ${this.#numExperts} experts ↓`;
    this.#more.hidden = scrollHeight <= clientHeight;
  }
}

function cellOf(layer: number, expert: number, load: number, numExperts: number): HTMLElement {
  const title = `layer ${layer}, expert ${expert}: ${formatShare(load / numExperts)} of the tokens`;
  const cell = h('td', { title }, `${load.toFixed(2)}x`);
  cell.style.backgroundColor = loadColor(load);
  cell.style.color = textOnLoad(load);
  return cell;
}
