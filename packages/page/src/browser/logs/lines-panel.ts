import { button, fill, h } from '../dom.js';
import type { LokiResult } from '../loki.js';
import type { PageState } from '../page-state.js';
import type { LineList, ListStyle } from './line-list.js';
import { linesOf } from './log-line.js';
import { fetchNextPage, type LogRequest, PAGE_LINES, stepOf } from './log-requests.js';
import { MetricResult } from './metric-result.js';

/** The lines of a query, page by page, or the series of a metric query. */
export class LinesPanel {
  readonly element: HTMLElement;
  readonly #metric = new MetricResult();
  readonly #more: HTMLButtonElement;

  /** @param onMore loads the next page */
  constructor(
    private readonly list: LineList,
    onMore: () => void,
  ) {
    this.#more = button('Older lines', onMore, { class: 'more', hidden: true });
    this.element = h.div({ id: 'log-lines' }, this.#metric.element, list.element, this.#more);
  }

  /** Marks the list as busy; it keeps the rows of the last query until the answer comes. */
  wait(): void {
    this.list.element.setAttribute('aria-busy', 'true');
  }

  /** @returns how many series there are; null for lines */
  set(data: LokiResult, { range }: LogRequest, style: ListStyle): number | null {
    if (data.resultType === 'matrix') {
      this.#show('series');
      this.#metric.set(data.result, range, stepOf(range));
      return data.result.length;
    }
    this.clear(style);
    const lines = linesOf(data.result);
    this.list.set(lines, style);
    this.#more.hidden = lines.length < PAGE_LINES;
    return null;
  }

  /** Shows a list without lines. */
  clear(style: ListStyle): void {
    this.#show('lines');
    this.list.set([], style);
  }

  hide(): void {
    this.#show(null);
  }

  /** @throws RequestError if the next page cannot be fetched */
  async loadMore(request: LogRequest): Promise<void> {
    const last = this.list.lines.at(request.order === 'newest' ? 0 : -1);
    if (last === undefined) return;
    this.#more.disabled = true;
    try {
      const lines = await fetchNextPage(request, last);
      const numBefore = this.list.lines.length;
      this.list.add(lines);
      this.#more.hidden = lines.length < PAGE_LINES || this.list.lines.length === numBefore;
    } finally {
      this.#more.disabled = false;
    }
  }

  showOrder(order: PageState['order']): void {
    fill(this.#more, order === 'newest' ? 'Older lines' : 'Later lines');
  }

  #show(part: 'lines' | 'series' | null): void {
    this.list.element.setAttribute('aria-busy', 'false');
    this.list.element.hidden = part !== 'lines';
    this.#metric.element.hidden = part !== 'series';
    this.#more.hidden = true;
  }
}
