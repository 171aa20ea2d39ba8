import type { RunListItem } from '../api-types.js';
import { button, fill, h } from './dom.js';
import { DASH, formatDate, formatDurationMs, formatLoss } from './format.js';
import { pageState, setState } from './location.js';
import { closeOnEscape } from './logs/time-range.js';
import { isAscendingFirst, listed, type RunListView, SORTS, type Sort, tookMs } from './run-list.js';
import { seriesColor } from './theme.js';

/** Rows of a page of the list. */
const PAGE = 15;
const SORT_NAMES: Readonly<Record<Sort, string>> = {
  date: 'started',
  recipe: 'recipe',
  layout: 'layout',
  state: 'state',
  step: 'step',
  took: 'took',
  loss: 'loss',
};

/** Menu that selects the run, and other runs to draw over it: searched, sorted, in pages. */
export class RunPicker {
  readonly element: HTMLDetailsElement;
  readonly #summary = h('summary', { title: 'choose runs (r)' });
  readonly #search = h('input', {
    type: 'search',
    class: 'run-search',
    'aria-label': 'search runs',
    placeholder: 'search: recipe, router, 2 x 4, failed, 2026-01',
  });
  readonly #table = h('div', { class: 'run-table' });
  readonly #pager = h('div', { class: 'run-pager' });
  #runs: readonly RunListItem[] = [];
  #current = '';
  #view: RunListView = { search: '', sort: 'date', isAscending: false };
  #page = 0;
  #shown = '';

  constructor() {
    const hint = h('p', { class: 'menu-hint' }, 'Choose a run; tick others to compare them with it.');
    const body = h('div', { class: 'menu-body runs' }, this.#search, hint, this.#table, this.#pager);
    this.element = h('details', { class: 'menu run-picker' }, this.#summary, body);
    closeOnEscape(this.element);
    this.element.addEventListener('toggle', () => {
      if (!this.element.open) return;
      this.#show();
      this.#search.focus();
      this.#search.select();
    });
    this.#search.addEventListener('input', () => this.#change({ search: this.#search.value }));
    body.addEventListener('keydown', (event) => this.#onKey(event));
  }

  toggle(): void {
    this.element.open = !this.element.open;
  }

  set(runs: readonly RunListItem[], current: string): void {
    const { overlays } = pageState();
    this.#runs = runs;
    this.#current = current;
    fill(
      this.#summary,
      h('span', { class: 'run-name' }, current || 'no run'),
      overlays.length > 0 && h('span', { class: 'run-overlays' }, `+${overlays.length}`),
    );
    if (this.element.open) this.#show();
  }

  #change(change: Partial<RunListView>): void {
    this.#view = { ...this.#view, ...change };
    this.#page = 0;
    this.#show();
  }

  #show(): void {
    const all = listed(this.#runs, this.#view);
    const numPages = Math.max(1, Math.ceil(all.length / PAGE));
    this.#page = Math.min(this.#page, numPages - 1);
    const first = PAGE * this.#page;
    const rows = all.slice(first, first + PAGE);
    // Unchanged rows are kept: one may have the focus.
    const shown = JSON.stringify([
      rows,
      all.length,
      this.#page,
      this.#view,
      this.#current,
      pageState().overlays,
    ]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const { activeElement } = document;
    const focused = activeElement instanceof HTMLElement ? activeElement.dataset : {};
    fill(
      this.#table,
      h(
        'table',
        {},
        h(
          'thead',
          {},
          h('tr', {}, h('td'), h('th', { scope: 'col' }, 'run'), ...SORTS.map((sort) => this.#head(sort))),
        ),
        h('tbody', {}, ...rows.map((run) => this.#row(run))),
      ),
      rows.length === 0 && h('p', { class: 'empty' }, 'No run matches.'),
    );
    const { run, tick, sort } = focused;
    const again = run
      ? `[data-run="${CSS.escape(run)}"]`
      : tick
        ? `[data-tick="${CSS.escape(tick)}"]`
        : sort && `[data-sort="${sort}"]`;
    if (again) this.#table.querySelector<HTMLElement>(again)?.focus();
    this.#pager.hidden = numPages === 1;
    fill(
      this.#pager,
      button('Previous', () => this.#turn(-1), { disabled: this.#page === 0 }),
      h('span', { role: 'status' }, `${first + 1} to ${first + rows.length} of ${all.length}`),
      button('Next', () => this.#turn(1), { disabled: this.#page === numPages - 1 }),
    );
  }

  /** @returns false if there is no such page */
  #turn(by: number): boolean {
    const before = this.#page;
    this.#page = Math.max(0, this.#page + by);
    this.#show();
    return this.#page !== before;
  }

  #head(sort: Sort): HTMLElement {
    const { sort: current, isAscending } = this.#view;
    const order = sort !== current ? 'none' : isAscending ? 'ascending' : 'descending';
    const choose = () =>
      this.#change({ sort, isAscending: sort === current ? !isAscending : isAscendingFirst(sort) });
    return h(
      'th',
      { scope: 'col', 'aria-sort': order },
      h(
        'button',
        { type: 'button', class: 'bare', 'data-sort': sort, on: { click: choose } },
        SORT_NAMES[sort],
      ),
    );
  }

  #row(run: RunListItem): HTMLElement {
    const { overlays } = pageState();
    const { runId } = run;
    const isCurrent = runId === this.#current;
    const box = h('input', {
      type: 'checkbox',
      'data-tick': runId,
      'aria-label': `compare ${runId} with the chosen run`,
    });
    box.checked = isCurrent || overlays.includes(runId);
    box.disabled = isCurrent;
    if (box.checked) box.style.accentColor = seriesColor(isCurrent ? 0 : overlays.indexOf(runId) + 1);
    box.addEventListener('change', () =>
      setState({ overlays: box.checked ? [...overlays, runId] : overlays.filter((each) => each !== runId) }),
    );
    const choose = { type: 'button', 'data-run': runId, 'aria-current': isCurrent ? 'true' : undefined };
    const took = tookMs(run);
    return h(
      'tr',
      { class: isCurrent ? 'is-current' : '', on: { click: (event) => this.#onClick(event, runId) } },
      h('td', {}, box),
      h('th', { scope: 'row', title: runId }, h('button', choose, runId)),
      h('td', {}, formatDate(Date.parse(run.startedAt)).slice(0, -3)),
      h('td', { class: 'recipe', title: run.recipe ?? undefined }, run.recipe ?? DASH),
      h('td', {}, run.layout ?? DASH),
      h('td', {}, h('span', { class: `state state-${run.state}` }, run.state)),
      h('td', { class: 'number' }, `${run.step}/${run.steps ?? '?'}`),
      h('td', { class: 'number' }, took === null ? DASH : formatDurationMs(took)),
      h('td', { class: 'number' }, formatLoss(run.loss)),
    );
  }

  #onClick(event: Event, runId: string): void {
    if (event.target instanceof HTMLInputElement) return;
    this.element.open = false;
    this.#summary.focus();
    setState(
      {
        run: runId,
        overlays: pageState().overlays.filter((each) => each !== runId),
        range: null,
        query: '',
        from: null,
        to: null,
        line: null,
        step: null,
        generation: null,
      },
      { push: true },
    );
  }

  /** Arrows move through the rows, and from one page to the next. */
  #onKey(event: KeyboardEvent): void {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    const { activeElement } = document;
    const isTick = activeElement instanceof HTMLElement && activeElement.dataset.tick !== undefined;
    const rows = () => [...this.#table.querySelectorAll<HTMLElement>(isTick ? '[data-tick]' : '[data-run]')];
    const index = rows().indexOf(activeElement as HTMLElement);
    const next = index === -1 ? (by === 1 ? 0 : -1) : index + by;
    const isBeyond = next < 0 || next >= rows().length;
    if (!isBeyond) rows()[next]?.focus();
    else if (index !== -1 && this.#turn(by))
      rows()
        .at(by === 1 ? 0 : -1)
        ?.focus();
    else if (by === -1) this.#search.focus();
  }
}
