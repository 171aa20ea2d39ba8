import type { RunDetail, RunListItem } from '../api-types.js';
import { button, fill, h, icon } from './dom.js';
import { DASH, formatCount, formatDurationMs, formatLoss } from './format.js';
import { pageState, setState } from './location.js';
import type { RunData } from './overview/run-data.js';
import { RunPicker } from './run-picker.js';
import { toggleTheme } from './theme.js';

/** Steps over which speed is averaged. */
const RECENT = 20;

/** The top bar: run picker, views, and the run's state, step, loss and speed. */
export class Header {
  readonly element: HTMLElement;
  readonly #picker = new RunPicker();
  readonly #tabs = (['overview', 'logs', 'timeline'] as const).map((view) =>
    h(
      'button',
      { type: 'button', 'data-view': view, on: { click: () => setState({ view }, { push: true }) } },
      `${view[0].toUpperCase()}${view.slice(1)}`,
    ),
  );
  readonly #numbers = h('dl', { class: 'numbers', 'aria-live': 'off' });
  readonly #connection = h('span', { class: 'connection', role: 'status' });

  constructor(onHelp: () => void) {
    this.element = h(
      'header',
      { class: 'page-header' },
      h('span', { class: 'brand' }, 'locmoe'),
      this.#picker.element,
      h('nav', { class: 'tabs', 'aria-label': 'views' }, ...this.#tabs),
      this.#numbers,
      this.#connection,
      button(icon('theme'), toggleTheme, { label: 'light or dark (t)', class: 'bare' }),
      button(icon('help'), onHelp, { label: 'keyboard shortcuts (?)', class: 'bare' }),
    );
  }

  setRuns(runs: readonly RunListItem[], current: string): void {
    this.#picker.set(runs, current);
  }

  showView(): void {
    for (const tab of this.#tabs)
      tab.setAttribute('aria-current', tab.dataset.view === pageState().view ? 'page' : 'false');
  }

  /** Null if the last request succeeded. */
  setConnection(problem: string | null): void {
    fill(this.#connection, problem);
  }

  set(run: RunData): void {
    const { detail } = run;
    if (detail === null) return;
    document.title = `${detail.runId} · locmoe`;
    const { msPerStep, tokensPerS } = recentSpeed(run);
    const left =
      detail.steps === null || msPerStep === null ? null : (detail.steps - detail.step) * msPerStep;
    fill(
      this.#numbers,
      h('div', {}, h('dd', {}, h('span', { class: `state state-${detail.state}` }, stateText(detail)))),
      number('step', `${detail.step}${detail.steps === null ? '' : ` / ${detail.steps}`}`),
      number('loss', formatLoss(detail.loss)),
      number('tokens/s', formatCount(tokensPerS)),
      detail.restarts > 0 ? number('lost', formatDurationMs(1e3 * detail.lostSeconds)) : null,
      detail.restartsLeft !== null && detail.restarts > 0
        ? number('restarts left', String(detail.restartsLeft))
        : null,
      detail.isLive
        ? number('left', detail.step === 0 ? DASH : formatDurationMs(left))
        : number('took', formatDurationMs(detail.endedAt === null ? null : detail.endedAt - run.startedAt)),
    );
  }
}

function stateText({ state, generation }: RunDetail): string {
  return generation > 1 ? `${state} · generation ${generation}` : state;
}

function number(name: string, value: string): HTMLElement {
  return h('div', {}, h('dt', {}, name), h('dd', {}, value));
}

/** Averages over the last steps. `msPerStep` is wall time, with pauses for checkpoints and validation. */
function recentSpeed(run: RunData): { msPerStep: number | null; tokensPerS: number | null } {
  const { step = [], time = [], tokensPerS = [] } = run.allOf('speed');
  const last = step.length - 1;
  const first = Math.max(0, last - RECENT);
  const [from, to, start, end] = [step[first], step[last], time[first], time[last]];
  const recent = tokensPerS.slice(-RECENT).filter((value) => value !== null);
  return {
    msPerStep:
      from == null || to == null || start == null || end == null || to <= from
        ? null
        : (end - start) / (to - from),
    tokensPerS: recent.length === 0 ? null : recent.reduce((a, b) => a + b, 0) / recent.length,
  };
}
