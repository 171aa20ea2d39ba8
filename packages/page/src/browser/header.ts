import type { RunDetail, RunListItem } from '../api-types.js';
import { contact } from './api.js';
import { button, fill, h, icon } from './dom.js';
import { formatClock, formatCount, formatDurationMs, formatLoss } from './format.js';
import { pageState, setState } from './location.js';
import { timesOf } from './overview/generation-spans.js';
import type { RunData } from './overview/run-data.js';
import { RunPicker } from './run-picker.js';
import { statusOf } from './run-status.js';
import { toggleTheme } from './theme.js';

const VIEW_NAMES = {
  overview: 'Overview',
  logs: 'Logs',
  timeline: 'Timeline',
  details: 'Details',
  routing: 'Routing',
} as const;
const VIEWS = Object.keys(VIEW_NAMES) as (keyof typeof VIEW_NAMES)[];

/** The top bar: run picker, views, and the run's state, step, loss and speed. */
export class Header {
  readonly element: HTMLElement;
  readonly #picker = new RunPicker();
  readonly #tabs = VIEWS.map((view) =>
    button(VIEW_NAMES[view], () => setState({ view, card: null }, { push: true }), { 'data-view': view }),
  );
  readonly #numbers = h.dl({ class: 'numbers', 'aria-live': 'off' });
  readonly #connection = h.span({ class: 'connection', role: 'status' });

  constructor(onHelp: () => void) {
    this.element = h.header(
      { class: 'page-header' },
      h.h1({ class: 'brand' }, 'locmoe'),
      this.#picker.element,
      h.nav({ class: 'tabs', 'aria-label': 'views' }, ...this.#tabs),
      this.#numbers,
      this.#connection,
      h.div(
        { class: 'header-buttons' },
        button(icon('theme'), toggleTheme, { label: 'light or dark (t)', class: 'bare' }),
        button(icon('help'), onHelp, { label: 'keyboard shortcuts (?)', class: 'bare' }),
      ),
    );
    // Elements that stick below the header need its height, which changes as it wraps.
    new ResizeObserver(() =>
      document.documentElement.style.setProperty('--header-height', `${this.element.offsetHeight}px`),
    ).observe(this.element);
  }

  setRuns(runs: readonly RunListItem[], current: string): void {
    this.#picker.set(runs, current);
  }

  toggleRuns(): void {
    this.#picker.toggle();
  }

  showView(): void {
    for (const tab of this.#tabs)
      tab.setAttribute('aria-current', tab.dataset.view === pageState().view ? 'page' : 'false');
  }

  /** @param problem why the last request failed; null if it succeeded */
  setConnection(problem: string | null): void {
    fill(this.#connection, problem);
  }

  set(run: RunData): void {
    const { detail } = run;
    if (detail === null) return;
    const status = statusOf(detail, contact.state);
    document.title = `${status.word} · ${detail.runId} · locmoe`;
    fill(
      this.#numbers,
      h.div(h.dd(h.span({ class: `state state-${status.kind}` }, status.word))),
      number('step', `${detail.step}${detail.steps === null ? '' : ` / ${detail.steps}`}`),
      number('loss', formatLoss(detail.loss)),
      ...(status.isTraining ? liveNumbers(run, detail) : []),
      status.isLive && !status.isTraining ? null : imbalanceOf(run),
      status.ending === 'no-contact'
        ? number('last heard of', formatClock(contact.lastHeardAt, false))
        : null,
      ...(detail.isLive ? [] : tookNumbers(run)),
    );
  }
}

function liveNumbers(run: RunData, detail: RunDetail): (HTMLElement | null)[] {
  const { speed = null } = run.metrics ?? {};
  return [
    number('tokens/s', formatCount(speed?.tokensPerS)),
    number('left', formatDurationMs(speed && leftMs(run, detail, speed.secondsPerStep))),
  ];
}

/**
 * Returns the ratio of the maximum to the mean at the last step: load of experts, time and bytes of ranks;
 * null if nothing was recorded.
 */
function imbalanceOf(run: RunData): HTMLElement | null {
  const rates = run.allOf('rates');
  const known = (['load', 'time', 'bytes'] as const).flatMap((name) => {
    const last = rates[`${name}Imbalance`]?.findLast((value) => value !== null);
    return last == null ? [] : `${name} ${last.toFixed(2)}`;
  });
  return known.length === 0 ? null : number('max/mean', known.join(' · '));
}

/** Returns the time until its last step, or until it has trained for `train.maxHours`. */
function leftMs(run: RunData, { step, steps, config }: RunDetail, secondsPerStep: number): number | null {
  const { maxHours } = (config?.train ?? {}) as { readonly maxHours?: number | null };
  const forSteps = steps === null ? Infinity : 1e3 * (steps - step) * secondsPerStep;
  const { runningMs } = timesOf(run, Date.now());
  const forHours = maxHours == null ? Infinity : Math.max(0, 3.6e6 * maxHours - runningMs);
  const left = Math.min(forSteps, forHours);
  return left === Infinity ? null : left;
}

/** Shows the time from the first start to the end and, for a run with pauses, the time without them. */
function tookNumbers(run: RunData): HTMLElement[] {
  const { totalMs, runningMs } = timesOf(run, Date.now());
  return [
    number('took', formatDurationMs(totalMs)),
    ...(totalMs - runningMs >= 1_000 ? [number('without pauses', formatDurationMs(runningMs))] : []),
  ];
}

function number(name: string, value: string): HTMLElement {
  return h.div(h.dt(name), h.dd(value));
}
