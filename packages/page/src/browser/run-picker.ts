import type { RunListItem } from '../api-types.js';
import { fill, h } from './dom.js';
import { formatLoss } from './format.js';
import { pageState, setState } from './location.js';
import { closeOnEscape } from './logs/time-range.js';
import { seriesColor } from './theme.js';

/** Menu that selects the run, and other runs to overlay. */
export class RunPicker {
  readonly element: HTMLDetailsElement;
  readonly #summary = h('summary', { 'aria-label': 'choose runs' });
  readonly #body = h('div', { class: 'menu-body runs' });
  #shown = '';

  constructor() {
    this.element = h('details', { class: 'menu run-picker' }, this.#summary, this.#body);
    closeOnEscape(this.element);
  }

  set(runs: readonly RunListItem[], current: string): void {
    const { overlays } = pageState();
    fill(
      this.#summary,
      h('span', { class: 'run-name' }, current || 'no run'),
      overlays.length > 0 && h('span', { class: 'run-overlays' }, `+${overlays.length}`),
    );
    // Unchanged rows are kept: one may have the focus.
    const shown = JSON.stringify([runs, current, overlays]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const focused =
      document.activeElement instanceof HTMLElement ? document.activeElement.dataset.run : undefined;
    fill(
      this.#body,
      h('p', { class: 'menu-hint' }, 'Choose a run; tick others to draw them over it.'),
      ...runs.map((run) => this.#row(run, current)),
    );
    if (focused !== undefined)
      this.#body.querySelector<HTMLElement>(`[data-run="${CSS.escape(focused)}"]`)?.focus();
  }

  #row(run: RunListItem, current: string): HTMLElement {
    const { overlays } = pageState();
    const isCurrent = run.runId === current;
    const box = h('input', { type: 'checkbox', 'aria-label': `draw ${run.runId} over the chosen run` });
    box.checked = isCurrent || overlays.includes(run.runId);
    box.disabled = isCurrent;
    const index = isCurrent ? 0 : overlays.indexOf(run.runId) + 1;
    if (box.checked) box.style.accentColor = seriesColor(index);
    box.addEventListener('change', () =>
      setState({
        overlays: box.checked ? [...overlays, run.runId] : overlays.filter((each) => each !== run.runId),
      }),
    );
    const choose = () => {
      this.element.open = false;
      setState(
        {
          run: run.runId,
          overlays: overlays.filter((each) => each !== run.runId),
          range: null,
          query: '',
          from: null,
          to: null,
          line: null,
        },
        { push: true },
      );
    };
    return h(
      'div',
      { class: isCurrent ? 'run-row is-current' : 'run-row' },
      box,
      h(
        'button',
        {
          type: 'button',
          'data-run': run.runId,
          'aria-current': isCurrent ? 'true' : undefined,
          on: { click: choose },
        },
        h('span', { class: 'run-name' }, run.runId),
        h('span', { class: `state state-${run.state}` }, run.state),
        h('span', { class: 'number' }, `${run.step}/${run.steps ?? '?'}`),
        h('span', { class: 'number' }, formatLoss(run.loss)),
      ),
    );
  }
}
