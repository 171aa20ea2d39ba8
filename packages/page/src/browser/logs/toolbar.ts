import { button, fill, h, icon, picker } from '../dom.js';
import { linkTo, pageState, setState } from '../location.js';
import type { PageState } from '../page-state.js';
import type { Tail } from './tail.js';

interface ToolbarActions {
  readonly toggleLive: () => void;
  readonly togglePause: () => void;
  readonly clear: () => void;
  readonly download: (kind: 'txt' | 'json') => void;
}

/** The row between histogram and lines: live tail, status, how lines are shown, downloads. */
export class Toolbar {
  readonly element: HTMLElement;
  readonly #status = h.span({ class: 'status', role: 'status' });
  readonly #tailStatus = h.span({ class: 'tail-status', role: 'status' });
  readonly #live: HTMLElement;
  readonly #pause: HTMLElement;
  readonly #clear: HTMLElement;
  readonly #order = button('', () =>
    setState({ order: pageState().order === 'newest' ? 'oldest' : 'newest' }),
  );
  readonly #wrap = button('Wrap', () => setState({ wrap: !pageState().wrap }));
  readonly #dedup = picker(
    'deduplication',
    { none: 'no dedup', exact: 'dedup exact', numbers: 'dedup numbers', signature: 'dedup signature' },
    (dedup) => setState({ dedup }),
  );
  /** Tools that apply only to lines. */
  readonly #ofLines: readonly HTMLElement[];

  /** @param tabs shown before the tools */
  constructor({ toggleLive, togglePause, clear, download }: ToolbarActions, tabs: HTMLElement) {
    this.#live = button('Live', toggleLive, { class: 'live', 'aria-pressed': 'false' });
    this.#pause = button('Pause', togglePause);
    this.#clear = button('Clear', clear);
    const shown = [
      this.#order,
      this.#wrap,
      this.#dedup,
      button('.txt', () => download('txt'), { title: 'download the lines as text' }),
      button('.json', () => download('json'), { title: 'download the lines as JSON' }),
    ];
    this.#ofLines = [this.#live, ...shown];
    this.element = h.div(
      { class: 'toolbar', role: 'toolbar', 'aria-label': 'log tools' },
      tabs,
      this.#live,
      this.#pause,
      this.#clear,
      this.#tailStatus,
      this.#status,
      h.span({ class: 'spacer' }),
      ...shown,
      button(icon('link'), () => void navigator.clipboard?.writeText(linkTo({})), {
        label: 'copy a link to this view',
      }),
    );
  }

  /** @param hasLines false where series or patterns are shown */
  show(state: PageState, tail: Pick<Tail, 'isRunning' | 'isPaused'>, hasLines: boolean): void {
    for (const tool of this.#ofLines) tool.hidden = !hasLines;
    this.#live.setAttribute('aria-pressed', String(state.live));
    this.#pause.hidden = !tail.isRunning;
    this.#clear.hidden = !tail.isRunning;
    fill(this.#pause, tail.isPaused ? 'Resume' : 'Pause');
    fill(this.#order, state.order === 'newest' ? 'Newest first' : 'Oldest first');
    this.#wrap.setAttribute('aria-pressed', String(state.wrap));
    this.#dedup.value = state.dedup;
  }

  showStatus(text: string): void {
    fill(this.#status, text);
  }

  /** Shows a text as a warning; empty for none. */
  showTailStatus(text: string): void {
    fill(this.#tailStatus, text);
    this.#tailStatus.classList.toggle('is-warning', text !== '');
  }
}
