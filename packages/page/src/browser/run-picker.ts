import type { RunListItem } from '../api-types.js';
import { button, fill, h, menu, numberCell, refill, table } from './dom.js';
import { DASH, formatDate, formatDurationMs, formatLoss } from './format.js';
import { pageState, setState } from './location.js';
import { toggled } from './page-state.js';
import { listed, type RunListView, SORTS, type Sort, tookMs } from './run-list.js';
import { seriesColor } from './theme.js';

/** Rows of a page of the list. */
const PAGE = 15;

/** A menu that selects the run and the runs to overlay; the list is searchable, sorted and paged. */
export class RunPicker {
  readonly #summary = h.summary({ title: 'choose runs (r)' });
  readonly #search = h.input({
    type: 'search',
    class: 'run-search',
    'aria-label': 'search runs',
    placeholder: 'search: recipe, router, 2 x 4, failed, 2026-01',
    on: { input: () => this.#change({ search: this.#search.value }) },
  });
  readonly #table = h.div({ class: 'run-table' });
  readonly #pager = h.div({ class: 'run-pager' });
  readonly element: HTMLDetailsElement;
  #runs: readonly RunListItem[] = [];
  #current = '';
  #view: RunListView = { search: '', sort: 'date', isAscending: false };
  #page = 0;

  constructor() {
    const hint = h.p({ class: 'menu-hint' }, 'Choose a run; tick others to compare them with it.');
    const body = h.div({ class: 'menu-body runs' }, this.#search, hint, this.#table, this.#pager);
    this.element = menu('run-picker', this.#summary, body);
    this.element.addEventListener('toggle', () => {
      if (!this.element.open) return;
      this.#show();
      this.#search.focus();
      this.#search.select();
    });
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
      h.span({ class: 'run-name' }, current || 'no run'),
      overlays.length > 0 && h.span({ class: 'run-overlays' }, `+${overlays.length}`),
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
    const lastPage = Math.max(0, Math.ceil(all.length / PAGE) - 1);
    this.#page = Math.min(this.#page, lastPage);
    const first = PAGE * this.#page;
    const runs = all.slice(first, first + PAGE);
    refill(this.#table, [runs, this.#view, this.#current, pageState().overlays], () => {
      const sorts = (Object.keys(SORTS) as Sort[]).map((sort) => this.#head(sort));
      const rows = runs.map((run) => this.#row(run));
      return [
        table([h.td(), 'run', ...sorts], rows),
        rows.length === 0 && h.p({ class: 'empty' }, 'No run matches.'),
      ];
    });
    this.#pager.hidden = lastPage === 0;
    refill(this.#pager, [this.#page, all.length, runs.length], () => [
      button('Previous', () => this.#turn(-1), { disabled: this.#page === 0 }),
      h.span({ role: 'status' }, `${first + 1} to ${first + runs.length} of ${all.length}`),
      button('Next', () => this.#turn(1), { disabled: this.#page === lastPage }),
    ]);
  }

  /** @returns false if there is no such page */
  #turn(by: number): boolean {
    const before = this.#page;
    this.#page = Math.max(0, this.#page + by);
    this.#show();
    return this.#page !== before;
  }

  #head(sort: Sort): HTMLTableCellElement {
    const { sort: current, isAscending } = this.#view;
    const order = sort !== current ? 'none' : isAscending ? 'ascending' : 'descending';
    const first = 'isAscending' in SORTS[sort];
    const choose = () => this.#change({ sort, isAscending: sort === current ? !isAscending : first });
    const name = button(SORTS[sort].name, choose, { class: 'bare', 'data-sort': sort });
    return h.th({ scope: 'col', 'aria-sort': order }, name);
  }

  #row(run: RunListItem): HTMLElement {
    const { overlays } = pageState();
    const { runId } = run;
    const isCurrent = runId === this.#current;
    const isDrawn = isCurrent || overlays.includes(runId);
    const state = run.notRecordingSince === null ? run.state : 'not-recording';
    const color = isDrawn && seriesColor(isCurrent ? 0 : overlays.indexOf(runId) + 1);
    const box = h.input({
      type: 'checkbox',
      'data-tick': runId,
      'aria-label': `compare ${runId} with the chosen run`,
      checked: isDrawn,
      disabled: isCurrent,
      style: color ? { 'accent-color': color } : {},
      on: { change: () => setState({ overlays: toggled(overlays, runId) }) },
    });
    const choose = { type: 'button', 'data-run': runId, 'aria-current': isCurrent ? 'true' : undefined };
    return h.tr(
      { class: isCurrent ? 'is-current' : '', on: { click: (event) => this.#onClick(event, runId) } },
      h.td(box),
      h.th({ scope: 'row', title: runId }, h.button(choose, runId)),
      h.td(formatDate(Date.parse(run.startedAt)).slice(0, -3)),
      h.td({ class: 'recipe', title: run.recipe }, run.recipe ?? DASH),
      h.td(run.layout ?? DASH),
      h.td(h.span({ class: `state state-${state}` }, state.replace('-', ' '))),
      numberCell(`${run.step}/${run.steps ?? '?'}`),
      numberCell(formatDurationMs(tookMs(run))),
      numberCell(formatLoss(run.loss)),
    );
  }

  #onClick(event: Event, runId: string): void {
    if (event.target instanceof HTMLInputElement) return;
    this.element.open = false;
    this.#summary.focus();
    const overlays = pageState().overlays.filter((each) => each !== runId);
    const place = { range: null, query: '', from: null, to: null, line: null, step: null, generation: null };
    setState({ run: runId, overlays, ...place }, { push: true });
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
    else if (index !== -1 && this.#turn(by)) rows()[by === 1 ? 0 : rows().length - 1]?.focus();
    else if (by === -1) this.#search.focus();
  }
}
